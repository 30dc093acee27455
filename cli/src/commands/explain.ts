import { readFile, stat } from 'node:fs/promises';
import { type DatasetSample, ExplainedOutput, ExplainResponse, type FloatTensor, ImageInput } from '@jsigr/proto';
import { invalidArgument, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { checkTarget, fromFileError, once, saveStream } from '../files.ts';
import { integer, rawFile, sample, setting } from '../options.ts';
import { outputOf } from '../output.ts';
import { findModel } from '../resolve.ts';
import { withSession } from '../session.ts';
import { floatsOf } from '../tensor.ts';
import { decimal, percent, shortName, spaced } from '../terminal/format.ts';
import { properties } from '../terminal/table.ts';

interface ExplainOptions extends GlobalOptions {
  readonly image?: string;
  readonly sample?: DatasetSample;
  readonly method: string;
  readonly set?: Record<string, string>;
  readonly target?: number;
  readonly explained: string;
  readonly seed: number;
  readonly out?: string;
  readonly scale?: number;
  readonly raw?: string;
}

/** Largest image file that is sent, in bytes (the contract's own limit). */
export const MAX_IMAGE_BYTES = 8 * 1024 * 1024;

// Long enough for an explainer that has to be started first.
const DEADLINE_MS = 120_000;

const outputs: Readonly<Record<string, ExplainedOutput>> = {
  logit: ExplainedOutput.EXPLAINED_OUTPUT_LOGIT,
  probability: ExplainedOutput.EXPLAINED_OUTPUT_PROBABILITY,
  loss: ExplainedOutput.EXPLAINED_OUTPUT_LOSS,
};

export const explainCommand: CommandGroup = (context) =>
  new Command('explain')
    .description('say which pixels a prediction rests on')
    .argument(
      '<model>',
      'models/DIGEST, the first digits of the digest, or trainingRuns/ID for the best model of a run',
    )
    .option('--image <file>', 'a PNG or JPEG file of at most 8 MiB')
    .addOption(
      new Option('--sample <sample>', 'DATASET:INDEX of the test part, or DATASET/train:INDEX')
        .argParser(sample)
        .conflicts('image'),
    )
    .option(
      '--method <name>',
      'gradient, input-x-gradient, smoothgrad, integrated-gradients, perturbation, sarfa, occlusion, shapley or grad-cam',
      'gradient',
    )
    .addOption(new Option('--set <key=value>', 'a setting of the method; repeat for more').argParser(setting))
    .addOption(new Option('--target <class>', 'class to explain (default: the predicted one)').argParser(integer(0)))
    .addOption(
      new Option('--explained <output>', 'number that is explained').choices(Object.keys(outputs)).default('logit'),
    )
    .addOption(new Option('--seed <number>', '0..4294967295').argParser(integer(0)).default(0))
    .option('--out <file.png>', 'write the map over the image')
    .addOption(
      new Option('--scale <factor>', 'enlarges the overlay, 1..32 (default: 8, less for large images)').argParser(
        integer(1),
      ),
    )
    .addOption(
      new Option('--raw <file>', 'write the map itself: .json, or .f32 (float32, little-endian, row by row)').argParser(
        rawFile,
      ),
    )
    .addHelpText(
      'after',
      examples(
        'jsigr explain trainingRuns/ID --sample glyphs:3 --out overlay.png',
        'jsigr explain 3f9a1c20be --image photo.jpg --method integrated-gradients --target 2 --raw map.json',
      ),
    )
    .action(async (model: string, _: unknown, command: Command) =>
      explain(model, command.optsWithGlobals<ExplainOptions>(), context),
    );

async function explain(name: string, options: ExplainOptions, context: Context): Promise<void> {
  for (const file of [options.out, options.raw])
    if (file !== undefined) await checkTarget(pathOf(file, context.terminal));
  const image = await imageOf(options, context);
  await withSession(options, context, async (session) => {
    const model = await findModel(session, name);
    const response = await unary(
      session.explanations,
      'explain',
      {
        model: model.name,
        image,
        method: options.method,
        settings: options.set ?? {},
        target: options.target,
        output: outputs[options.explained] ?? ExplainedOutput.EXPLAINED_OUTPUT_UNSPECIFIED,
        seed: options.seed,
        overlay: options.out !== undefined,
        overlayScale: options.scale ?? 0,
      },
      { deadlineMs: DEADLINE_MS },
    );
    const written = await writeFiles(response, options, context);
    outputOf(options, context).show(ExplainResponse, response, (explained) =>
      explanationText(shortName(model.name), options.method, explained, written),
    );
  });
}

async function imageOf({ image, sample: chosen }: ExplainOptions, { terminal }: Context): Promise<ImageInput> {
  if (chosen) return { source: { $case: 'sample', value: chosen } };
  if (image === undefined) throw invalidArgument('--image', 'give --image FILE or --sample DATASET:INDEX');
  const path = pathOf(image, terminal);
  try {
    const { size } = await stat(path);
    if (size > MAX_IMAGE_BYTES)
      throw invalidArgument('--image', `${path} has ${size} bytes, at most ${MAX_IMAGE_BYTES} are allowed`);
    return { source: { $case: 'encoded', value: await readFile(path) } };
  } catch (error) {
    throw fromFileError(error, path);
  }
}

async function writeFiles(
  { overlay, attribution }: ExplainResponse,
  { out, raw }: ExplainOptions,
  { terminal }: Context,
): Promise<string[]> {
  const files: [string, Uint8Array][] = [];
  if (out !== undefined) files.push([pathOf(out, terminal), overlay]);
  if (raw !== undefined && attribution) files.push([pathOf(raw, terminal), rawMap(raw, attribution)]);
  for (const [path, data] of files) await saveStream(path, once(data));
  return files.map(([path]) => path);
}

function rawMap(file: string, attribution: FloatTensor): Uint8Array {
  if (file.endsWith('.f32')) return attribution.data;
  const [height = 0, width = 0] = attribution.shape;
  const values = floatsOf(attribution);
  const rows = Array.from({ length: height }, (_, row) => [...values.subarray(row * width, (row + 1) * width)]);
  return Buffer.from(`${JSON.stringify({ shape: attribution.shape, map: rows })}\n`);
}

/** What an explanation says, as text. */
export function explanationText(
  model: string,
  method: string,
  { predicted, target, probabilities, classNames, checks, milliseconds }: ExplainResponse,
  files: readonly string[],
): string {
  const named = (at: number): string => {
    const name = classNames[at];
    return name === undefined || name === String(at) ? `class ${at}` : `${name} (class ${at})`;
  };
  const likely = probabilities
    .map((probability, at) => ({ probability, at }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 3)
    .map(({ probability, at }) => `${named(at)} ${percent(probability)}`);
  return properties([
    ['model', model],
    ['predicted', named(predicted)],
    ['likely', likely.join(', ')],
    ['explained', target === predicted ? '' : named(target)],
    ['method', method],
    ['checks', checks.map((check) => `${spaced(check.name)} ${decimal(check.value)}`).join(', ')],
    ['computed in', `${milliseconds.toFixed(0)} ms`],
    ...files.map((file) => ['written', file] as const),
  ]);
}
