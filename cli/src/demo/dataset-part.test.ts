import { describe, expect, it } from 'vitest';
import { safetensorsOf as file } from '../testing/safetensors.ts';
import { partOf } from './dataset-part.ts';

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
