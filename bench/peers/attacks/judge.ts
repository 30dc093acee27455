import { type Engine, float32 } from '@jsigr/engine';
import { argmax, predict } from '@jsigr/models';
import type { Trained } from './models.ts';

/** What float32 may add to a pixel at the surface of the ball. */
const TOLERANCE = 1e-6;

/**
 * Which adversarial images count, whoever made them: our model is wrong on them, and no pixel is farther than epsilon from the image or outside [0,1].
 * @param given `indices` of the attacked test images, and an adversarial image for each, `[indices, height, width, channels]`.
 */
export async function judged(
  engine: Engine,
  { classifier, test }: Pick<Trained, 'classifier' | 'test'>,
  given: { readonly indices: readonly number[]; readonly epsilon: number; readonly images: Float32Array },
): Promise<{ readonly broken: number[]; readonly outside: number[] }> {
  const { indices, epsilon, images } = given;
  const size = test.images.length / test.count;
  if (images.length !== indices.length * size)
    throw new Error(`${images.length / size} adversarial images for ${indices.length} attacked ones`);
  const { logits } = await predict(engine, classifier, float32(images, [indices.length, ...classifier.input]));
  const wrong = indices.flatMap((index, row) => {
    const scores = (logits.data as Float32Array).subarray(row * classifier.classes, (row + 1) * classifier.classes);
    return argmax(scores) === test.labels[index] ? [] : [{ index, row }];
  });
  const isInside = ({ index, row }: { index: number; row: number }) =>
    images.subarray(row * size, (row + 1) * size).every((value, i) => {
      const distance = Math.abs(value - (test.images[index * size + i] ?? 0) / 255);
      return distance <= epsilon + TOLERANCE && value >= -TOLERANCE && value <= 1 + TOLERANCE;
    });
  return {
    broken: wrong.filter(isInside).map(({ index }) => index),
    outside: wrong.filter((each) => !isInside(each)).map(({ index }) => index),
  };
}
