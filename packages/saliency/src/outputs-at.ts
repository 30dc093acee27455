import { float32, type NdArray } from '@jsigr/engine';
import { predict } from '@jsigr/models';
import type { SaliencyContext } from './method.ts';
import type { OutputName } from './output.ts';
import { rowsAtOnce } from './rows.ts';

/**
 * What is explained (the target's logit, its probability or its cross-entropy) at changed images of one sample of the context; nothing but forward passes.
 * @param count of the images
 * @param write puts image `i` into `to`, which holds the sample's own image
 */
export async function outputsAt(
  { engine, classifier, images, targets, output = 'logit', signal }: SaliencyContext,
  sample: number,
  count: number,
  write: (i: number, to: Float32Array) => void,
): Promise<Float64Array> {
  const own = imageOf(images, sample);
  const target = targets.data[sample] ?? 0;
  const found = new Float64Array(count);
  const most = rowsAtOnce(own.length);
  for (let from = 0; from < count; from += most) {
    const rows = Math.min(most, count - from);
    const pixels = new Float32Array(rows * own.length);
    for (let row = 0; row < rows; row++) {
      const image = pixels.subarray(row * own.length, (row + 1) * own.length);
      image.set(own);
      write(from + row, image);
    }
    const changed = float32(pixels, [rows, ...images.shape.slice(1)]);
    const { logits } = await predict(engine, classifier, changed, { ...(signal && { signal }) });
    for (let row = 0; row < rows; row++) {
      const own = logits.data.subarray(row * classifier.classes, (row + 1) * classifier.classes);
      found[from + row] = outputOf(own, target, output);
    }
  }
  return found;
}

/** The numbers of one image. */
export function imageOf({ data, shape: [batch = 1] }: NdArray, sample: number): Float32Array {
  const size = data.length / batch;
  return data.subarray(sample * size, (sample + 1) * size) as Float32Array;
}

function outputOf(logits: ArrayLike<number>, target: number, output: OutputName): number {
  const own = logits[target] ?? 0;
  if (output === 'logit') return own;
  const largest = Array.from(logits).reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const total = Array.from(logits).reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  const logProbability = own - largest - Math.log(total);
  return output === 'probability' ? Math.exp(logProbability) : -logProbability;
}
