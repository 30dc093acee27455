import { readdir } from 'node:fs/promises';
import type { Dataset, Split } from '../dataset.ts';
import { DatasetError } from '../errors.ts';
import { checkedDataset, MOST_FILE_BYTES } from '../limits.ts';
import { type NamedFile, readFirst } from './files.ts';

const SIDE = 32;
const AREA = SIDE * SIDE;
const CHANNELS = 3;
const RECORD = 1 + CHANNELS * AREA;
const CLASSES = 10;
const NAMES = 'batches.meta.txt';

/**
 * Records of the binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): one byte of label, then the red, the green and the blue
 * plane of 32 x 32 bytes each. Images come out as `[count, 32, 32, 3]`.
 * @throws DatasetError MALFORMED_FILE with the name of the file as field
 */
export function readCifarBatch({ name, bytes }: NamedFile): Split {
  if (bytes.length === 0 || bytes.length % RECORD !== 0)
    throw malformed(name, `has ${bytes.length} bytes, not a positive multiple of ${RECORD} (a label and an image)`);
  const count = bytes.length / RECORD;
  const images = new Uint8Array(count * AREA * CHANNELS);
  const labels = new Uint8Array(count);
  for (let sample = 0; sample < count; sample++) {
    const label = bytes[sample * RECORD] ?? 0;
    if (label >= CLASSES) throw malformed(name, `label ${label} of sample ${sample} is not one of 0..${CLASSES - 1}`);
    labels[sample] = label;
    for (let channel = 0; channel < CHANNELS; channel++) {
      const plane = sample * RECORD + 1 + channel * AREA;
      const target = sample * AREA * CHANNELS + channel;
      for (let pixel = 0; pixel < AREA; pixel++) images[target + pixel * CHANNELS] = bytes[plane + pixel] ?? 0;
    }
  }
  return { count, images, labels };
}

/**
 * Imports a directory of CIFAR-10's binary version: every `data_batch_N.bin` in the order of N (one at least), `test_batch.bin`, and the names
 * of the classes in `batches.meta.txt`.
 * @throws DatasetError naming the file
 */
export async function readCifar10(directory: string): Promise<Dataset> {
  const classes = readNames(await readFirst(directory, [NAMES]));
  const batches: Split[] = [];
  let total = 0;
  for (const name of await trainingFiles(directory)) {
    const file = await readFirst(directory, [name]);
    total += file.bytes.length;
    if (total > MOST_FILE_BYTES)
      throw new DatasetError('TOO_LARGE', name, `brings the training files to ${total} bytes, over ${MOST_FILE_BYTES}`);
    batches.push(readCifarBatch(file));
  }
  const test = readCifarBatch(await readFirst(directory, ['test_batch.bin']));
  const dataset: Dataset = { name: 'cifar10', input: [SIDE, SIDE, CHANNELS], classes, train: joined(batches), test };
  return checkedDataset(dataset, 'MALFORMED_FILE', 'data_batch_1.bin');
}

async function trainingFiles(directory: string): Promise<string[]> {
  const numbers = (await namesIn(directory)).flatMap((name) => {
    const number = /^data_batch_([1-9]\d?)\.bin$/.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  return (numbers.length ? numbers.sort((a, b) => a - b) : [1]).map((number) => `data_batch_${number}.bin`);
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new DatasetError('UNREADABLE_FILE', directory, `cannot be listed (${code ?? cause})`, { cause });
  }
}

function readNames({ name, bytes }: NamedFile): string[] {
  const names = new TextDecoder()
    .decode(bytes.subarray(0, 10_000))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (names.length !== CLASSES) throw malformed(name, `names ${names.length} classes, not ${CLASSES}`);
  const long = names.find((className) => className.length > 200);
  if (long) throw malformed(name, 'has a class name of more than 200 characters');
  return names;
}

function joined(splits: readonly Split[]): Split {
  return {
    count: splits.reduce((sum, { count }) => sum + count, 0),
    images: concatenated(splits.map(({ images }) => images)),
    labels: concatenated(splits.map(({ labels }) => labels)),
  };
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function malformed(name: string, message: string): DatasetError {
  return new DatasetError('MALFORMED_FILE', name, message);
}
