import { createHash } from 'node:crypto';
import { EngineError, readSafetensors, type StoredTensor, writeSafetensors } from '@jsigr/engine';
import { z } from 'zod';
import type { Dataset, Files, Split } from './dataset.ts';
import { DatasetError } from './errors.ts';
import { checkedDataset, MOST_CLASSES, MOST_SIDE } from './limits.ts';

const MANIFEST = 'manifest.json';
const DATA = 'data.safetensors';
const MOST_MANIFEST_BYTES = 1_000_000;

const natural = z.int().min(1);

const manifestSchema = z.object({
  format: z.literal('jsigr-dataset'),
  version: z.literal(1),
  name: z.string().min(1).max(200),
  input: z.tuple([natural.max(MOST_SIDE), natural.max(MOST_SIDE), natural.max(4)]),
  classes: z.array(z.string().max(200)).min(2).max(MOST_CLASSES),
  counts: z.object({ train: natural, test: natural }),
  masks: z.object({ train: z.boolean(), test: z.boolean() }),
  files: z.record(z.string(), z.object({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
});

type Manifest = z.infer<typeof manifestSchema>;

/**
 * The one form in which datasets are kept: `manifest.json` (what it is, and the digest of each other file) and `data.safetensors`
 * (`train.images`, `train.labels`, `train.masks`, `test...`, all U8). Equal datasets give equal bytes.
 * @throws DatasetError INVALID_OPTION if the dataset contradicts itself
 */
export function encodeDataset(dataset: Dataset): Files {
  checkedDataset(dataset, 'INVALID_OPTION', 'dataset');
  const { name, input, classes, train, test } = dataset;
  const data = writeSafetensors({ ...tensorsOf('train', train, input), ...tensorsOf('test', test, input) });
  const manifest: Manifest = {
    format: 'jsigr-dataset',
    version: 1,
    name,
    input: [...input],
    classes: [...classes],
    counts: { train: train.count, test: test.count },
    masks: { train: train.masks !== undefined, test: test.masks !== undefined },
    files: { [DATA]: { bytes: data.length, sha256: sha256(data) } },
  };
  return { [MANIFEST]: new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`), [DATA]: data };
}

/**
 * Reads what {@link encodeDataset} wrote; the arrays are views of the given bytes.
 * @throws DatasetError MISSING_FILE, DIGEST_MISMATCH, TOO_LARGE or MALFORMED_FILE, naming the file
 */
export function decodeDataset(files: Files): Dataset {
  const manifest = readManifest(fileOf(files, MANIFEST));
  const data = fileOf(files, DATA);
  const described = Object.hasOwn(manifest.files, DATA) ? manifest.files[DATA] : undefined;
  if (!described) throw new DatasetError('MALFORMED_FILE', MANIFEST, `files does not list ${DATA}`);
  if (data.length !== described.bytes || sha256(data) !== described.sha256)
    throw new DatasetError('DIGEST_MISMATCH', DATA, `is not the file that ${MANIFEST} describes: import it again`);
  const tensors = readTensors(data);
  const { name, input, classes } = manifest;
  const dataset = {
    name,
    input,
    classes,
    train: splitOf('train', tensors, manifest),
    test: splitOf('test', tensors, manifest),
  };
  const surplus = Object.keys(tensors).find((key) => !expectedNames(manifest).includes(key));
  if (surplus !== undefined) throw new DatasetError('MALFORMED_FILE', DATA, `holds an unknown tensor ${surplus}`);
  return checkedDataset(dataset, 'MALFORMED_FILE', DATA);
}

type SplitName = 'train' | 'test';
type Tensors = Record<string, StoredTensor>;

function tensorsOf(name: SplitName, split: Split, [height, width, channels]: Dataset['input']): Tensors {
  const { count, images, labels, masks } = split;
  return {
    [`${name}.images`]: { dtype: 'uint8', shape: [count, height, width, channels], data: images },
    [`${name}.labels`]: { dtype: 'uint8', shape: [count], data: labels },
    ...(masks && { [`${name}.masks`]: { dtype: 'uint8', shape: [count, height, width], data: masks } }),
  };
}

function splitOf(name: SplitName, tensors: Tensors, { input, counts, masks }: Manifest): Split {
  const [height, width, channels] = input;
  const count = counts[name];
  const images = bytesOf(tensors, `${name}.images`, [count, height, width, channels]);
  const labels = bytesOf(tensors, `${name}.labels`, [count]);
  if (!masks[name]) return { count, images, labels };
  return { count, images, labels, masks: bytesOf(tensors, `${name}.masks`, [count, height, width]) };
}

function bytesOf(tensors: Tensors, name: string, shape: readonly number[]): Uint8Array {
  const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
  if (tensor?.dtype !== 'uint8' || tensor.shape.join() !== shape.join()) {
    const found = tensor ? `${tensor.dtype} [${tensor.shape}]` : 'missing';
    throw new DatasetError('MALFORMED_FILE', DATA, `${name} must be uint8 [${shape}] by ${MANIFEST}, but is ${found}`);
  }
  return tensor.data;
}

function expectedNames({ masks }: Manifest): string[] {
  return (['train', 'test'] as const).flatMap((split) =>
    ['images', 'labels', ...(masks[split] ? ['masks'] : [])].map((part) => `${split}.${part}`),
  );
}

function readTensors(data: Uint8Array): Tensors {
  try {
    return readSafetensors(data).tensors;
  } catch (cause) {
    if (cause instanceof EngineError) throw new DatasetError('MALFORMED_FILE', DATA, cause.message, { cause });
    throw cause;
  }
}

function readManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MOST_MANIFEST_BYTES)
    throw new DatasetError('TOO_LARGE', MANIFEST, `has ${bytes.length} bytes, over ${MOST_MANIFEST_BYTES}`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new DatasetError('MALFORMED_FILE', MANIFEST, 'is not JSON in UTF-8', { cause });
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') || 'the whole';
  throw new DatasetError('MALFORMED_FILE', MANIFEST, `${at}: ${issue?.message}`, { cause: parsed.error });
}

function fileOf(files: Files, name: string): Uint8Array {
  const bytes = Object.hasOwn(files, name) ? files[name] : undefined;
  if (!bytes) throw new DatasetError('MISSING_FILE', name, 'is not among the files of the dataset');
  return bytes;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
