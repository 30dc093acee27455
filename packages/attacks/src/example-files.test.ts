import { writeSafetensors } from '@jsigr/engine';
import { expect, test } from 'vitest';
import { decodeExamples, encodeExamples } from './example-files.ts';

const set = { indices: [7, 2], images: Uint8Array.from({ length: 8 }, (_, i) => 30 * i), input: [2, 2, 1] };

test('examples come back as they were', () => {
  const { indices, images, input } = decodeExamples(encodeExamples(set));
  expect({ indices, images: [...images], input }).toEqual({ ...set, images: [...set.images] });
});

test.each([
  ['no file', {}, 'is missing'],
  ['another file', { 'examples.safetensors': writeSafetensors({}) }, 'is not that of adversarial examples'],
  ['an index below 0', encodeExamples({ ...set, indices: [0, -1] }), 'has an index below 0'],
])('%s is refused', (_, files, message) => expect(() => decodeExamples(files)).toThrow(message));
