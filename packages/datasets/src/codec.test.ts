import { createHash } from 'node:crypto';
import { readSafetensors, type StoredTensor, writeSafetensors } from '@jsigr/engine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeDataset, encodeDataset } from './codec.ts';
import type { Dataset, Files } from './dataset.ts';
import { DatasetError } from './errors.ts';
import { glyphs } from './glyphs/glyphs.ts';

const plain: Dataset = {
  name: 'tiny',
  input: [1, 2, 1],
  classes: ['no', 'yes'],
  train: { count: 2, images: Uint8Array.of(0, 255, 7, 8), labels: Uint8Array.of(1, 0) },
  test: { count: 1, images: Uint8Array.of(3, 4), labels: Uint8Array.of(1), masks: Uint8Array.of(0, 1) },
};

test.each([
  ['a plain one', plain],
  ['glyphs', glyphs({ variant: 'gray28', seed: 1, train: 20, test: 10 })],
])('what is encoded is decoded: %s', (_, dataset) => {
  expect(decodeDataset(encodeDataset(dataset))).toEqual(dataset);
});

test('the manifest tells a reader what the data is', () => {
  const { 'manifest.json': manifest, 'data.safetensors': data } = encodeDataset(plain);
  expect(JSON.parse(Buffer.from(manifest ?? []).toString())).toEqual({
    format: 'jsigr-dataset',
    version: 1,
    name: 'tiny',
    input: [1, 2, 1],
    classes: ['no', 'yes'],
    counts: { train: 2, test: 1 },
    masks: { train: false, test: true },
    files: { 'data.safetensors': { bytes: data?.length, sha256: sha256(data) } },
  });
});

test.each<[string, Partial<Dataset>, string]>([
  ['too few images', { train: { ...plain.train, images: new Uint8Array(3) } }, 'train has 3 image bytes'],
  ['too few labels', { test: { ...plain.test, labels: new Uint8Array() } }, 'test has 0 labels for 1 images'],
  ['a label without a class', { classes: ['no', 'yes'].slice(1) }, '1 classes must be 2 to 256'],
  ['a stray label', { train: { ...plain.train, labels: Uint8Array.of(0, 2) } }, 'label 2 of train sample 1'],
  ['a mask of 2', { test: { ...plain.test, masks: Uint8Array.of(0, 2) } }, 'masks of test hold other bytes'],
  ['a mask too short', { test: { ...plain.test, masks: Uint8Array.of(0) } }, 'test has 1 mask bytes'],
  ['an impossible shape', { input: [0, 2, 1] }, 'input [0,2,1] must be'],
])('a dataset with %s is not encoded', (_, change, message) => {
  expect(() => encodeDataset({ ...plain, ...change })).toThrow(
    expect.objectContaining({ reason: 'INVALID_OPTION', message: expect.stringContaining(message) }),
  );
});

function sha256(bytes: Uint8Array = new Uint8Array()): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function refusal(files: Files): DatasetError {
  try {
    decodeDataset(files);
  } catch (error) {
    expect(error).toBeInstanceOf(DatasetError);
    return error as DatasetError;
  }
  throw new Error('it was decoded');
}

const files = encodeDataset(plain);
const manifest = JSON.parse(Buffer.from(files['manifest.json'] ?? []).toString());
const tensors = readSafetensors(files['data.safetensors'] ?? new Uint8Array()).tensors;

/** The files with changed tensors under an honest digest, or with a changed manifest. */
function forged(changes: { manifest?: object; tensors?: Record<string, StoredTensor>; data?: Uint8Array }): Files {
  const data = changes.data ?? writeSafetensors({ ...tensors, ...changes.tensors });
  const listed = { 'data.safetensors': { bytes: data.length, sha256: sha256(data) } };
  const text = JSON.stringify({ ...manifest, files: listed, ...changes.manifest });
  return { 'manifest.json': Buffer.from(text), 'data.safetensors': data };
}

describe('decoding refuses', () => {
  const u8 = (shape: number[], ...data: number[]): StoredTensor => ({
    dtype: 'uint8',
    shape,
    data: Uint8Array.from(data),
  });

  test.each<[string, Files, string, string, string]>([
    ['no manifest', {}, 'MISSING_FILE', 'manifest.json', 'is not among the files'],
    [
      'no data',
      { 'manifest.json': files['manifest.json'] ?? Buffer.of() },
      'MISSING_FILE',
      'data.safetensors',
      'is not',
    ],
    ['another format', forged({ manifest: { format: 'x' } }), 'MALFORMED_FILE', 'manifest.json', 'format: '],
    ['a later version', forged({ manifest: { version: 2 } }), 'MALFORMED_FILE', 'manifest.json', 'version: '],
    [
      'a shape of strings',
      forged({ manifest: { input: ['1', 2, 1] } }),
      'MALFORMED_FILE',
      'manifest.json',
      'input.0: ',
    ],
    [
      'a manifest that lists no data',
      forged({ manifest: { files: {} } }),
      'MALFORMED_FILE',
      'manifest.json',
      'files does',
    ],
    [
      'another count',
      forged({ manifest: { counts: { train: 3, test: 1 } } }),
      'MALFORMED_FILE',
      'data.safetensors',
      'train.images must be uint8 [3,1,2,1]',
    ],
    [
      'masks that are not there',
      forged({ manifest: { masks: { train: true, test: true } } }),
      'MALFORMED_FILE',
      'data.safetensors',
      'train.masks must be uint8 [2,1,2] by manifest.json, but is missing',
    ],
    [
      'masks that nobody announced',
      forged({ manifest: { masks: { train: false, test: false } } }),
      'MALFORMED_FILE',
      'data.safetensors',
      'holds an unknown tensor test.masks',
    ],
    [
      'labels of another dtype',
      forged({ tensors: { 'test.labels': { dtype: 'int32', shape: [1], data: Int32Array.of(1) } } }),
      'MALFORMED_FILE',
      'data.safetensors',
      'test.labels must be uint8 [1]',
    ],
    [
      'a stray label',
      forged({ tensors: { 'test.labels': u8([1], 2) } }),
      'MALFORMED_FILE',
      'data.safetensors',
      'label 2 of test sample 0',
    ],
    [
      'data that is no safetensors',
      forged({ data: Buffer.from('hello') }),
      'MALFORMED_FILE',
      'data.safetensors',
      'not a safetensors file',
    ],
    [
      'a manifest of two megabytes',
      { ...files, 'manifest.json': Buffer.alloc(2_000_000, 32) },
      'TOO_LARGE',
      'manifest.json',
      'over 1000000',
    ],
  ])('%s', (_, given, reason, field, message) => {
    const error = refusal(given);
    expect({ reason: error.reason, field: error.field }).toEqual({ reason, field });
    expect(error.message).toContain(message);
  });

  test('any changed or missing byte of the data, by its digest', () => {
    const data = files['data.safetensors'] ?? new Uint8Array();
    fc.assert(
      fc.property(fc.nat(data.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const changed = Uint8Array.from(data);
        changed[at] = (changed[at] ?? 0) ^ flip;
        const given = { ...files, 'data.safetensors': cut ? data.subarray(0, at) : changed };
        expect(refusal(given).reason).toBe('DIGEST_MISMATCH');
      }),
    );
  });

  test('or reads a changed manifest, and does nothing else', () => {
    const bytes = files['manifest.json'] ?? new Uint8Array();
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ flip;
        try {
          decodeDataset({ ...files, 'manifest.json': cut ? bytes.subarray(0, at) : changed });
        } catch (error) {
          expect(error).toBeInstanceOf(DatasetError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
