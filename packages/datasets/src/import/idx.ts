import { promisify } from 'node:util';
import { constants, gunzip } from 'node:zlib';
import type { Dataset, Split } from '../dataset.ts';
import { DatasetError } from '../errors.ts';
import { checkedDataset, MOST_FILE_BYTES } from '../limits.ts';
import { type NamedFile, readFirst } from './files.ts';

/** Unsigned bytes with a shape: what MNIST and its relatives keep in a file. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist: two zero bytes, type 0x08, rank, sizes as big-endian 32-bit integers,
 * data), plain or gzipped. Of a gzipped file no more is inflated than its header promises.
 * @param rank the number of dimensions that the file must have
 * @param limit most bytes of header and data together
 * @throws DatasetError MALFORMED_FILE or TOO_LARGE, with the name of the file as field
 */
export async function readIdx(file: NamedFile, rank: number, limit = MOST_FILE_BYTES): Promise<IdxArray> {
  const gzipped = file.bytes[0] === 0x1f && file.bytes[1] === 0x8b;
  const headerBytes = 4 + 4 * rank;
  // A deflated header needs far less than 4,096 bytes; those inflate to 4 MiB at most.
  const head = gzipped ? await inflate(file.name, file.bytes.subarray(0, 4096), 2 ** 23, 'prefix') : file.bytes;
  const shape = readShape(file.name, head, rank);
  const total = shape.reduce((product, size) => product * size, 1) + headerBytes;
  if (total > limit)
    throw new DatasetError('TOO_LARGE', file.name, `promises ${total} bytes by its shape [${shape}], over ${limit}`);
  const bytes = gzipped ? await inflate(file.name, file.bytes, total, 'whole') : file.bytes;
  if (bytes.length !== total)
    throw malformed(file.name, `holds ${bytes.length} bytes, but its shape [${shape}] takes ${total} with the header`);
  return { shape, data: bytes.subarray(headerBytes) };
}

/**
 * Imports a directory of MNIST, Fashion-MNIST or KMNIST: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`,
 * `t10k-labels-idx1-ubyte`, each plain or with `.gz`. Classes are named `0`..`9`.
 * @throws DatasetError naming the file
 */
export async function readMnist(directory: string): Promise<Dataset> {
  const train = await readPart(directory, 'train');
  const test = await readPart(directory, 't10k');
  if (train.sides.join() !== test.sides.join())
    throw malformed(
      't10k-images-idx3-ubyte',
      `has images of [${test.sides}], but the training images are [${train.sides}]`,
    );
  const [height, width] = train.sides;
  const dataset: Dataset = {
    name: 'mnist',
    input: [height, width, 1],
    classes: DIGITS,
    train: train.split,
    test: test.split,
  };
  return checkedDataset(dataset, 'MALFORMED_FILE', 'train-images-idx3-ubyte');
}

const DIGITS = Array.from({ length: 10 }, (_, digit) => `${digit}`);

async function readPart(directory: string, part: string): Promise<{ split: Split; sides: readonly [number, number] }> {
  const [imageFile, labelFile] = [`${part}-images-idx3-ubyte`, `${part}-labels-idx1-ubyte`];
  const images = await readIdx(await readFirst(directory, [imageFile, `${imageFile}.gz`]), 3);
  const labels = await readIdx(await readFirst(directory, [labelFile, `${labelFile}.gz`]), 1);
  const [count = 0, height = 0, width = 0] = images.shape;
  if (labels.shape[0] !== count)
    throw malformed(labelFile, `has ${labels.shape[0]} labels, but ${imageFile} has ${count} images`);
  const stray = labels.data.findIndex((label) => label >= DIGITS.length);
  if (stray >= 0) throw malformed(labelFile, `label ${labels.data[stray]} of sample ${stray} is not one of 0..9`);
  return { split: { count, images: images.data, labels: labels.data }, sides: [height, width] };
}

function readShape(name: string, bytes: Uint8Array, rank: number): number[] {
  if (bytes.length < 4 + 4 * rank) throw malformed(name, `ends within its header of ${4 + 4 * rank} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const expected = 0x0800 + rank;
  if (magic !== expected)
    throw malformed(name, `begins with ${hex(magic)}, not ${hex(expected)} (unsigned bytes in ${rank} dimensions)`);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  if (shape.includes(0)) throw malformed(name, `is empty: its shape is [${shape}]`);
  return shape;
}

const gunzipped = promisify(gunzip);

async function inflate(name: string, bytes: Uint8Array, limit: number, part: 'prefix' | 'whole'): Promise<Uint8Array> {
  const { Z_SYNC_FLUSH, Z_FINISH } = constants;
  try {
    return await gunzipped(bytes, {
      maxOutputLength: limit,
      finishFlush: part === 'prefix' ? Z_SYNC_FLUSH : Z_FINISH,
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw malformed(name, `inflates to more than the ${limit} bytes that its header promises`, cause);
    throw malformed(name, `is not a whole gzip file (${(cause as Error).message})`, cause);
  }
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, '0')}`;
}

function malformed(name: string, message: string, cause?: unknown): DatasetError {
  return new DatasetError('MALFORMED_FILE', name, message, { cause });
}
