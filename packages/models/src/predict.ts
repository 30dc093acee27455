import { bucketOf, type Engine, float32, memoise, type NdArray, sizeOf, spec, specsOf, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Classifier } from './classifier.ts';
import type { Forward } from './create-classifier.ts';
import { ModelError } from './errors.ts';

export interface PredictOptions {
  /** Images a run of the compiled network, 1..1024; 64 by default. Smaller sets use the next of 1, 4, 16 and this. */
  readonly batchSize?: number;
  /** Checked between batches. */
  readonly signal?: AbortSignal;
}

/** Images and labels as a dataset keeps them. */
export interface LabelledImages {
  readonly count: number;
  /** `[count, height, width, channels]`, 0..255. */
  readonly images: Uint8Array;
  /** `[count]`, 0..classes-1. */
  readonly labels: Uint8Array;
}

const DEFAULT_BATCH = 64;
const MAX_BATCH = 1024;

/**
 * Logits `[count, classes]` of images `[count, height, width, channels]` in [0,1]. Shapes are compiled, so the last batch is padded.
 * @throws ModelError INVALID_SHAPE if the images are not of the classifier's shape.
 */
export async function predict(
  engine: Engine,
  classifier: Classifier,
  images: NdArray,
  options: PredictOptions = {},
): Promise<{ logits: NdArray }> {
  const [count = 0, ...shape] = images.shape;
  if (images.dtype !== 'float32' || shape.join() !== classifier.input.join())
    throw new ModelError(
      'INVALID_SHAPE',
      'images',
      `images are ${images.dtype} [${images.shape}]; ${classifier.id} takes float32 [count, ${classifier.input}]`,
    );
  const size = sizeOf(shape);
  const read = (target: Float32Array, from: number, to: number) =>
    target.set((images.data as Float32Array).subarray(from * size, to * size));
  const logits = new Float32Array(count * classifier.classes);
  for await (const batch of logitBatches(engine, classifier, count, read, options))
    logits.set(batch.logits, batch.from * classifier.classes);
  return { logits: float32(logits, [count, classifier.classes]) };
}

/**
 * Fraction of the images whose highest logit is the label's, 0..1. Logits that are not finite count as wrong.
 * @throws ModelError INVALID_SHAPE if there are no images.
 */
export async function accuracy(
  engine: Engine,
  classifier: Classifier,
  { count, images, labels }: LabelledImages,
  options: PredictOptions = {},
): Promise<number> {
  const size = sizeOf(classifier.input);
  if (count === 0 || images.length !== count * size || labels.length !== count)
    throw new ModelError(
      'INVALID_SHAPE',
      'images',
      `${images.length} intensities and ${labels.length} labels are not ${count} images (at least 1) of ${classifier.input.join('x')}`,
    );
  const read = (target: Float32Array, from: number, to: number) => {
    for (let i = 0, at = from * size; at < to * size; i++, at++) target[i] = (images[at] ?? 0) / 255;
  };
  let correct = 0;
  for await (const { logits, from, to } of logitBatches(engine, classifier, count, read, options))
    for (let i = from; i < to; i++) {
      const row = logits.subarray((i - from) * classifier.classes, (i - from + 1) * classifier.classes);
      if (argmax(row) === labels[i]) correct++;
    }
  return correct / count;
}

/** Index of the largest number, the first of equals; -1 if one of them is not finite. */
export function argmax(numbers: Float32Array): number {
  let best = 0;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i] ?? Number.NaN;
    if (!Number.isFinite(value)) return -1;
    if (value > (numbers[best] ?? Number.NaN)) best = i;
  }
  return best;
}

type ReadImages = (target: Float32Array, from: number, to: number) => void;

/** Logits of images `from`..`to`, batch by batch. */
async function* logitBatches(
  engine: Engine,
  classifier: Classifier,
  count: number,
  read: ReadImages,
  { batchSize = DEFAULT_BATCH, signal }: PredictOptions,
): AsyncGenerator<{ logits: Float32Array; from: number; to: number }> {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH)
    throw new ModelError('INVALID_SETTING', 'batchSize', `batchSize is ${batchSize}; allowed: 1 to ${MAX_BATCH}`);
  const size = bucketOf(count, batchSize);
  const shape = [size, ...classifier.input];
  const compiled = await engine.compile(
    logitsFunction(classifier.forward),
    { parameters: specsOf(classifier.parameters), images: spec(...shape) },
    { name: 'predict' },
  );
  for (let from = 0; from < count; from += size) {
    signal?.throwIfAborted();
    const to = Math.min(count, from + size);
    const batch = new Float32Array(sizeOf(shape));
    read(batch, from, to);
    const output = await compiled.run({ parameters: classifier.parameters, images: float32(batch, shape) });
    const logits = (output as { logits: NdArray }).logits.data as Float32Array;
    yield { logits: logits.subarray(0, (to - from) * classifier.classes), from, to };
  }
}

interface LogitsInputs {
  readonly parameters: Tree<Tensor>;
  readonly images: Tensor;
}

/** Compiled functions are cached by identity: one traced function for each forward function. */
const logitsFunction = memoise((forward: Forward) => (inputs: Tree<Tensor>): Tree<Tensor> => {
  const { parameters, images } = inputs as unknown as LogitsInputs;
  return { logits: forward(parameters, images) };
});
