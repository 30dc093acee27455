import { describe, expect, it } from 'vitest';
import { partOf } from './dataset-part.ts';

// A safetensors file by hand: the length of the header in 8 bytes little-endian, JSON, data.
function file(tensors: Record<string, number[]>): Buffer {
  let at = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, bytes]) => {
      const begin = at;
      at += bytes.length;
      return [name, { dtype: 'U8', shape: [bytes.length], data_offsets: [begin, at] }];
    }),
  );
  const json = Buffer.from(JSON.stringify({ __metadata__: { a: 'b' }, ...header }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(Object.values(tensors).flat())]);
}

describe('the test part of a dataset', () => {
  const tensors = {
    'train.labels': [9],
    'test.images': [0, 255, 51, 102],
    'test.labels': [3, 4],
    'test.masks': [0, 1, 1, 0],
  };

  it('gives images in [0,1], labels and masks by index', () => {
    const part = partOf(file(tensors), [1, 2, 1]);
    expect(part.count).toBe(2);
    expect([...part.image(1)]).toEqual([Math.fround(0.2), Math.fround(0.4)]);
    expect(part.label(1)).toBe(4);
    expect([...(part.mask?.(1) ?? [])]).toEqual([1, 0]);
  });

  it('has no masks where the dataset has none', () =>
    expect(partOf(file({ 'test.images': [0, 1], 'test.labels': [3] }), [1, 2, 1]).mask).toBeUndefined());

  it('is an error without labels', () =>
    expect(() => partOf(file({ 'test.images': [0] }), [1, 1, 1])).toThrow('no images or no labels'));
});
