import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type GlyphOptions, glyphs } from './glyphs.ts';

const small = { variant: 'gray28', seed: 1, train: 40, test: 20 } as const;

function digest(...parts: (Uint8Array | undefined)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part ?? '');
  return hash.digest('hex');
}

// Pinned: whoever changes a byte of the pictures changes what every published figure on them means, and must do it on purpose.
test.each([
  ['gray28', '7e38998aac366447ab2e415fa6f7a0cb00407cc3e706317f93bb4af2bbfac5a3'],
  ['color32', '53dbb23df021462a15307806f955ed171abbba7d16c227a592ab676cea3fc821'],
] as const)('%s is the same on every machine', (variant, sha256) => {
  const { train, test } = glyphs({ variant, seed: 1, train: 200, test: 50 });
  expect(digest(train.images, train.labels, train.masks, test.images, test.labels, test.masks)).toBe(sha256);
});

describe.each(['gray28', 'color32'] as const)('%s', (variant) => {
  const dataset = glyphs({ ...small, variant });

  test('has arrays of the sizes that its shape and counts say', () => {
    const [height, width, channels] = dataset.input;
    for (const [split, count] of [
      [dataset.train, 40],
      [dataset.test, 20],
    ] as const) {
      expect(split.count).toBe(count);
      expect(split.images).toHaveLength(count * height * width * channels);
      expect(split.masks).toHaveLength(count * height * width);
      expect([...split.labels]).toEqual(Array.from({ length: count }, (_, i) => i % 10));
    }
  });

  test('has bright shapes where the masks are, on darker ground', () => {
    const { images, masks = new Uint8Array() } = dataset.train;
    const channels = dataset.input[2];
    const mean = (bit: number) => {
      const bytes = images.filter((_, i) => masks[Math.floor(i / channels)] === bit);
      return bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length / 255;
    };
    expect(mean(1)).toBeGreaterThan(0.75);
    expect(mean(0)).toBeLessThan(0.2);
  });

  test('keeps every shape whole: between 4 and 25 % of the pixels, none at the edge', () => {
    const [height, width] = dataset.input;
    const { masks = new Uint8Array() } = dataset.train;
    for (let i = 0; i < dataset.train.count; i++) {
      const mask = masks.subarray(i * height * width, (i + 1) * height * width);
      const share = mask.reduce((sum, bit) => sum + bit, 0) / mask.length;
      expect(share).toBeGreaterThan(0.04);
      expect(share).toBeLessThan(0.25);
      const edge = mask.filter((_, at) => at < width || at >= mask.length - width || at % width === 0);
      expect(edge.every((bit) => bit === 0)).toBe(true);
    }
  });
});

test('a larger dataset begins with the smaller one', () => {
  const few = glyphs(small);
  const more = glyphs({ ...small, train: 60, test: 21 });
  for (const split of ['train', 'test'] as const) {
    expect(more[split].images.subarray(0, few[split].images.length)).toEqual(few[split].images);
    expect(more[split].masks?.subarray(0, few[split].masks?.length)).toEqual(few[split].masks);
  }
});

test('another seed, and the other split, give other images', () => {
  const one = glyphs({ ...small, test: 40 });
  const two = glyphs({ ...small, seed: 2 });
  expect(digest(one.train.images)).not.toBe(digest(two.train.images));
  expect(digest(one.train.images)).not.toBe(digest(one.test.images));
});

test.each<[string, Partial<GlyphOptions>]>([
  ['variant', { variant: 'gray32' as never }],
  ['seed', { seed: -1 }],
  ['seed', { seed: 2 ** 32 }],
  ['train', { train: 0 }],
  ['train', { train: 1.5 }],
  ['test', { test: 1_000_001 }],
])('a bad %s is refused by name', (field, option) => {
  expect(() => glyphs({ ...small, ...option })).toThrow(
    expect.objectContaining({ name: 'DatasetError', reason: 'INVALID_OPTION', field }),
  );
});
