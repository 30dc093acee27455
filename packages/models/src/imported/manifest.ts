import * as z from 'zod';

export const IMPORT_VERSION = 1;
export const MANIFEST = 'manifest.json';

/** Images of a fixed batch, their sides and channels, number of classes (wider than for networks that are trained here), characters of what is said. */
export const LIMITS = { batch: 1024, side: 1024, channels: 4, classes: 10_000, producer: 200, text: 1000 } as const;
const side = z.int().min(1).max(LIMITS.side);

export const imageShapeSchema = z
  .tuple([side, side, z.int().min(1).max(LIMITS.channels)])
  .readonly()
  .describe('[height, width, channels]; sides 1..1024, channels 1..4');

/** How the file orders the axes of images, without the batch: [channels, height, width], or [height, width, channels]. */
export const layouts = ['NCHW', 'NHWC'] as const;
export type Layout = (typeof layouts)[number];

const perChannel = z.array(z.number()).min(1).max(LIMITS.channels).readonly();

export const normalizationSchema = z.strictObject({
  mean: perChannel.describe('subtracted from each channel of an image in [0,1]; one number counts for all'),
  deviation: perChannel
    .refine((list) => list.every((value) => value > 0), 'must be above 0')
    .describe('divides the difference; 0.00392157 (1/255) for a model that takes pixels from 0 to 255'),
});

/** What the file's output is, and so how logits are had of it. The last two are one number an image, which tells class 1 from class 0. */
export const scoreKinds = ['logits', 'log-probabilities', 'probabilities', 'logit', 'probability'] as const;
export type ScoreKind = (typeof scoreKinds)[number];

/** How a foreign file is used as a classifier. */
export const readingSchema = z.strictObject({
  format: z.enum(['onnx', 'layers-model', 'endpoint']),
  producer: z.string().max(LIMITS.producer),
  inputName: z.string(),
  /** The value that is read: an output, or the input of the softmax that gives it. */
  outputName: z.string(),
  layout: z.enum(layouts),
  /** Shape of one image in the file: it may be flat. */
  imageShape: z.array(z.int().min(1)).readonly(),
  scores: z.enum(scoreKinds),
  normalization: normalizationSchema,
});
export type Reading = z.output<typeof readingSchema>;

/** A model behind the Open Inference Protocol (version 2). */
export const endpointSchema = z.strictObject({
  url: z
    .string()
    .max(2000)
    .describe(
      'http(s)://HOST[:PORT][/PREFIX]/v2/models/NAME[/versions/VERSION], or grpc(s)://HOST:PORT/NAME[/VERSION]',
    ),
  requestsPerSecond: z.number().min(0.001).max(10_000).default(10).describe('at most'),
  timeoutMs: z.int().min(100).max(600_000).default(10_000).describe('of one request'),
  batch: z.int().min(1).max(1024).default(32).describe('images in one request, at most'),
});
export type Endpoint = z.output<typeof endpointSchema>;

export const importManifestSchema = z.strictObject({
  version: z.literal(IMPORT_VERSION),
  kind: z.literal('imported'),
  name: z.string().max(200).describe('for people'),
  model: z.strictObject({
    architecture: z.string().max(100),
    input: imageShapeSchema,
    classes: z.int().min(2).max(LIMITS.classes),
  }),
  labels: z.array(z.string().max(200)).readonly(),
  reading: readingSchema,
  remarks: z.array(z.string().max(LIMITS.text)).readonly().describe('what a reader of results should know'),
  /** Why it can only be asked; absent for a model that is traced. */
  blackBox: z.string().max(LIMITS.text).optional(),
  /** Where it lives, if it is no file. */
  endpoint: endpointSchema.optional(),
  files: z.record(z.string(), z.string()).describe('sha256 of the other files'),
});
export type ImportManifest = z.output<typeof importManifestSchema>;
