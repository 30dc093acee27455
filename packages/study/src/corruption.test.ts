import { glyphs } from '@jsigr/datasets';
import { describe, expect, test } from 'vitest';
import { corruptedImages } from './corruption.ts';

const SHAPE = [4, 4, 1] as const;
const split = {
  count: 2,
  images: Uint8Array.from({ length: 32 }, (_, i) => (i === 5 ? 255 : i < 16 ? 0 : 51)),
  labels: Uint8Array.of(0, 1),
};
const samples = { split, indices: [0, 1] };
const corrupted = (name: string, severity: number) => [...corruptedImages(name, severity, samples, SHAPE).data];

describe('corruptions', () => {
  test('contrast moves pixels towards the mean of their image', () => {
    const [first, second] = [corrupted('contrast', 0.5).slice(0, 16), corrupted('contrast', 0.5).slice(16)];
    expect(first[5]).toBeCloseTo(1 / 16 + 0.5 * (15 / 16), 6);
    expect(first[0]).toBeCloseTo(1 / 32, 6);
    for (const pixel of second) expect(pixel).toBeCloseTo(0.2, 6);
  });

  test('blur keeps what is even and spreads a point over its neighbours alike', () => {
    const pixels = corrupted('blur', 1);
    for (const pixel of pixels.slice(16)) expect(pixel).toBeCloseTo(0.2, 6);
    expect(pixels[5]).toBeLessThan(0.3);
    expect(pixels[6]).toBeCloseTo(pixels[9] ?? 0, 6);
    expect(pixels[6]).toBeGreaterThan(pixels[7] ?? 1);
  });

  test('noise has the deviation that it says, and is the same for a sample whatever its company', () => {
    const { test: own } = glyphs({ variant: 'gray28', seed: 1, train: 1, test: 40 });
    const grey = { ...own, images: own.images.map(() => 128) };
    const noisy = (indices: readonly number[]) =>
      corruptedImages('noise', 0.1, { split: grey, indices }, [28, 28, 1]).data as Float32Array;
    const all = noisy(Array.from({ length: 40 }, (_, i) => i));
    const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
    const deviation = Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length);
    expect(mean).toBeCloseTo(128 / 255, 2);
    expect(deviation).toBeCloseTo(0.1, 2);
    expect([...noisy([7])]).toEqual([...all.subarray(7 * 784, 8 * 784)]);
  });

  test('an unknown one is an error', () =>
    expect(() => corrupted('fog', 1)).toThrow('"fog" is none of noise, blur, contrast'));
});
