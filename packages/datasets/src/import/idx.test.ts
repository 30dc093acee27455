import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DatasetError } from '../errors.ts';
import { readIdx, readMnist } from './idx.ts';

/** An IDX file of unsigned bytes, as the format's description lays it out. */
function idx(shape: readonly number[], data: ArrayLike<number>, type = 8): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = type;
  header[3] = shape.length;
  shape.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  return Buffer.concat([header, Uint8Array.from(data)]);
}

async function refusal(result: Promise<unknown>): Promise<{ reason: string; field: string; message: string }> {
  try {
    await result;
  } catch (error) {
    expect(error).toBeInstanceOf(DatasetError);
    return error as DatasetError;
  }
  throw new Error('it was read');
}

describe('an IDX file', () => {
  const plain = idx([2, 2, 3], [...Array(12).keys()]);

  test.each([
    ['plain', plain],
    ['gzipped', gzipSync(plain)],
  ])('is read %s', async (_, bytes) => {
    const array = await readIdx({ name: 'images', bytes }, 3);
    expect(array).toEqual({ shape: [2, 2, 3], data: expect.anything() });
    expect([...array.data]).toEqual([...Array(12).keys()]);
  });

  test.each([
    ['plain', plain],
    ['gzipped', gzipSync(plain)],
  ])('cut at any byte is refused, %s', async (_, bytes) => {
    for (let length = 0; length < bytes.length; length++)
      expect(await refusal(readIdx({ name: 'images', bytes: bytes.subarray(0, length) }, 3))).toMatchObject({
        reason: 'MALFORMED_FILE',
        field: 'images',
      });
  });

  const huge = idx([65535, 65535, 65535], []);
  test.each<[string, Buffer, string, RegExp]>([
    ['of another element type', idx([1, 1, 1], [1], 0x0d), 'MALFORMED_FILE', /begins with 0x00000d03, not 0x00000803/],
    ['of another rank', idx([1], [1]), 'MALFORMED_FILE', /ends within its header|begins with/],
    ['that is something else', Buffer.from('<html>not found</html>'), 'MALFORMED_FILE', /begins with 0x3c68746d/],
    ['without images', idx([0, 2, 3], []), 'MALFORMED_FILE', /is empty: its shape is \[0,2,3\]/],
    ['with a byte too many', Buffer.concat([plain, Buffer.alloc(1)]), 'MALFORMED_FILE', /holds 29 bytes.*takes 28/],
    ['that promises too much', huge, 'TOO_LARGE', /promises 281462092005391 bytes/],
    ['that promises too much, gzipped', gzipSync(huge), 'TOO_LARGE', /over 1073741824/],
  ])('%s is refused', async (_, bytes, reason, message) => {
    const error = await refusal(readIdx({ name: 'images', bytes }, 3));
    expect(error.reason).toBe(reason);
    expect(error.message).toMatch(message);
  });

  test('a gzip bomb is inflated no further than its header promises', async () => {
    const bomb = gzipSync(Buffer.concat([plain, Buffer.alloc(50_000_000)]));
    expect((await refusal(readIdx({ name: 'images', bytes: bomb }, 3))).message).toMatch('more than the 28 bytes');
  });

  test('the limit counts header and data', async () => {
    await readIdx({ name: 'images', bytes: plain }, 3, 28);
    expect(await refusal(readIdx({ name: 'images', bytes: plain }, 3, 27))).toMatchObject({ reason: 'TOO_LARGE' });
  });

  test('changed anywhere is read or refused, never anything else', async () => {
    const changed = fc.tuple(fc.boolean(), fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat());
    await fc.assert(
      fc.asyncProperty(changed, async ([gzip, at, flip, cut]) => {
        const bytes = Buffer.from(gzip ? gzipSync(plain) : plain);
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip;
        const kept = cut % 2 ? bytes : bytes.subarray(0, cut % bytes.length);
        await readIdx({ name: 'images', bytes: kept }, 3).catch((error: unknown) => {
          expect(error).toBeInstanceOf(DatasetError);
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe('a directory of MNIST', () => {
  let directory: string;
  const good = {
    'train-images-idx3-ubyte.gz': gzipSync(idx([3, 2, 2], [...Array(12).keys()])),
    'train-labels-idx1-ubyte.gz': gzipSync(idx([3], [0, 9, 5])),
    't10k-images-idx3-ubyte': idx([1, 2, 2], [255, 0, 1, 2]),
    't10k-labels-idx1-ubyte': idx([1], [7]),
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'jsigr-idx-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function write(files: Record<string, Uint8Array | undefined>): Promise<void> {
    for (const [name, bytes] of Object.entries(files)) if (bytes) await writeFile(join(directory, name), bytes);
  }

  test('is imported, plain and gzipped files alike', async () => {
    await write(good);
    const { train, test, ...rest } = await readMnist(directory);
    expect(rest).toEqual({ name: 'mnist', input: [2, 2, 1], classes: '0123456789'.split('') });
    expect([train.count, [...train.labels], [...train.images]]).toEqual([3, [0, 9, 5], [...Array(12).keys()]]);
    expect([test.count, [...test.labels], [...test.images]]).toEqual([1, [7], [255, 0, 1, 2]]);
  });

  test.each<[string, Record<string, Uint8Array | undefined>, object, RegExp]>([
    [
      'without its test labels',
      { 't10k-labels-idx1-ubyte': undefined },
      { reason: 'MISSING_FILE', field: 't10k-labels-idx1-ubyte' },
      /looked for t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz/,
    ],
    [
      'with a label too few',
      { 'train-labels-idx1-ubyte.gz': gzipSync(idx([2], [0, 9])) },
      { reason: 'MALFORMED_FILE', field: 'train-labels-idx1-ubyte' },
      /has 2 labels, but train-images-idx3-ubyte has 3 images/,
    ],
    [
      'with a label over 9',
      { 't10k-labels-idx1-ubyte': idx([1], [10]) },
      { reason: 'MALFORMED_FILE', field: 't10k-labels-idx1-ubyte' },
      /label 10 of sample 0 is not one of 0..9/,
    ],
    [
      'with test images of another size',
      { 't10k-images-idx3-ubyte': idx([1, 2, 3], Array(6).fill(0)) },
      { reason: 'MALFORMED_FILE', field: 't10k-images-idx3-ubyte' },
      /\[2,3\], but the training images are \[2,2\]/,
    ],
    [
      'with images and labels exchanged',
      { 't10k-images-idx3-ubyte': good['t10k-labels-idx1-ubyte'] },
      { reason: 'MALFORMED_FILE', field: 't10k-images-idx3-ubyte' },
      /ends within its header/,
    ],
    [
      'with images of 2,000 pixels a side',
      {
        'train-images-idx3-ubyte.gz': gzipSync(idx([3, 2000, 1], new Uint8Array(6000))),
        't10k-images-idx3-ubyte': idx([1, 2000, 1], new Uint8Array(2000)),
      },
      { reason: 'MALFORMED_FILE', field: 'train-images-idx3-ubyte' },
      /input \[2000,1,1\] must be \[1..1024/,
    ],
  ])('%s is refused', async (_, changes, expected, message) => {
    await write({ ...good, ...changes });
    const error = await refusal(readMnist(directory));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(message);
  });

  test('that does not exist, is a file, or has a directory for a file is refused', async () => {
    expect(await refusal(readMnist(join(directory, 'none')))).toMatchObject({ reason: 'MISSING_FILE' });
    await write({ file: Buffer.from('') });
    expect(await refusal(readMnist(join(directory, 'file')))).toMatchObject({ reason: 'UNREADABLE_FILE' });
    await mkdir(join(directory, 'train-images-idx3-ubyte'));
    expect(await refusal(readMnist(directory))).toMatchObject({
      reason: 'UNREADABLE_FILE',
      field: 'train-images-idx3-ubyte',
    });
  });
});

const real = process.env.JSIGR_TEST_DATA;
test.skipIf(!real)('the published MNIST is imported whole', async () => {
  const { input, train, test } = await readMnist(join(real ?? '', 'mnist'));
  expect([input, train.count, test.count]).toEqual([[28, 28, 1], 60_000, 10_000]);
  expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]); // the well-known first five
});
