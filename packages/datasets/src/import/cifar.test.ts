import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DatasetError } from '../errors.ts';
import { readCifar10, readCifarBatch } from './cifar.ts';

/** A record: a label, then 1,024 bytes each of red, green, blue. */
function record(label: number, red: number, green: number, blue: number): Buffer {
  return Buffer.concat([Buffer.of(label), ...[red, green, blue].map((value) => Buffer.alloc(1024, value))]);
}

test('a record becomes an image with interleaved channels', () => {
  const bytes = Buffer.concat([record(3, 10, 20, 30), record(9, 1, 2, 3)]);
  bytes[1 + 32] = 77; // red, row 1, column 0 of the first image
  const { count, images, labels } = readCifarBatch({ name: 'batch', bytes });
  expect([count, [...labels]]).toEqual([2, [3, 9]]);
  expect([...images.subarray(0, 6)]).toEqual([10, 20, 30, 10, 20, 30]);
  expect([...images.subarray(32 * 3, 32 * 3 + 3)]).toEqual([77, 20, 30]);
  expect([...images.subarray(3072, 3075)]).toEqual([1, 2, 3]);
});

test.each([
  ['empty', Buffer.alloc(0), /has 0 bytes, not a positive multiple of 3073/],
  ['cut', record(1, 0, 0, 0).subarray(0, 3072), /has 3072 bytes/],
  ['with a label over 9', Buffer.concat([record(0, 0, 0, 0), record(10, 0, 0, 0)]), /label 10 of sample 1/],
])('a batch that is %s is refused', (_, bytes, message) => {
  expect(() => readCifarBatch({ name: 'batch', bytes })).toThrow(
    expect.objectContaining({ reason: 'MALFORMED_FILE', field: 'batch', message: expect.stringMatching(message) }),
  );
});

test('any bytes are read or refused, never anything else', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.tuple(fc.nat(255), fc.nat(4000)).map(([label, length]) => new Uint8Array(length).fill(label)),
    fc
      .array(fc.nat(12), { maxLength: 3 })
      .map((labels) => Buffer.concat(labels.map((label) => record(label, 1, 2, 3)))),
  );
  fc.assert(
    fc.property(bytes, (given) => {
      try {
        readCifarBatch({ name: 'batch', bytes: given });
      } catch (error) {
        expect(error).toBeInstanceOf(DatasetError);
      }
    }),
  );
});

describe('a directory of CIFAR-10', () => {
  let directory: string;
  const names = [...'abcdefghij'].map((letter) => `class ${letter}`);
  const good: Record<string, Uint8Array> = {
    'batches.meta.txt': Buffer.from(`${names.join('\n')}\n\n`),
    'data_batch_2.bin': record(2, 0, 0, 0),
    'data_batch_10.bin': record(4, 0, 0, 0),
    'data_batch_1.bin': Buffer.concat([record(1, 0, 0, 0), record(8, 0, 0, 0)]),
    'data_batch_x.bin': Buffer.from('not a batch'),
    'test_batch.bin': record(5, 0, 0, 0),
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'jsigr-cifar-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function write(files: Record<string, Uint8Array>): Promise<void> {
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), bytes);
  }

  test('is imported, training batches in the order of their numbers', async () => {
    await write(good);
    const { train, test, ...rest } = await readCifar10(directory);
    expect(rest).toEqual({ name: 'cifar10', input: [32, 32, 3], classes: names });
    expect([...train.labels]).toEqual([1, 8, 2, 4]);
    expect([...test.labels]).toEqual([5]);
  });

  test.each<[string, object]>([
    ['batches.meta.txt', { reason: 'MISSING_FILE', field: 'batches.meta.txt' }],
    ['test_batch.bin', { reason: 'MISSING_FILE', field: 'test_batch.bin' }],
  ])('without %s is refused', async (missing, expected) => {
    const { [missing]: _, ...rest } = good;
    await write(rest);
    await expect(readCifar10(directory)).rejects.toMatchObject(expected);
  });

  test('without training batches is refused, naming the first', async () => {
    await write({ 'batches.meta.txt': good['batches.meta.txt'] ?? Buffer.of() });
    await expect(readCifar10(directory)).rejects.toMatchObject({ reason: 'MISSING_FILE', field: 'data_batch_1.bin' });
  });

  test('with nine names is refused', async () => {
    await write({ ...good, 'batches.meta.txt': Buffer.from(names.slice(1).join('\n')) });
    await expect(readCifar10(directory)).rejects.toThrow('batches.meta.txt: names 9 classes, not 10');
  });
});

const real = process.env.JSIGR_TEST_DATA;
test.skipIf(!real)('CIFAR-10 files are imported whole', async () => {
  const { classes, train, test } = await readCifar10(join(real ?? '', 'cifar10'));
  expect(classes[0]).toBe('airplane');
  expect(train.count % 10_000).toBe(0);
  expect(test.count).toBeGreaterThan(0);
});
