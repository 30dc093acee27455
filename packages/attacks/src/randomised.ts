import { type NdArray, type Tree, uniform } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';

/** Who asks: the seed, and the sample and attempt of each row. */
export interface Asking {
  readonly seed: number;
  readonly sampleIndices: readonly number[];
  readonly attempts: readonly number[];
}

/**
 * A classifier that draws random numbers at each call, as some defences do. Its `forward` takes `{ model, random }`, and `draw` makes the random part;
 * the same asking and call draw the same numbers.
 */
export interface RandomisedClassifier extends Classifier {
  readonly draw: (asking: Asking, call: number) => Tree<NdArray>;
}

/** Does it answer the same question differently from call to call? */
export function isRandom(classifier: Classifier): classifier is RandomisedClassifier {
  return 'draw' in classifier;
}

/** What a call of the classifier takes as parameters: fresh random numbers where it wants some. */
export function parametersOf(classifier: Classifier, asking: Asking, call: number): Tree<NdArray> {
  if (!isRandom(classifier)) return classifier.parameters;
  return { model: classifier.parameters, random: classifier.draw(asking, call) };
}

/** `model(images, random)` around a classifier: a traced change of the images, with `count` uniform numbers a row. */
export function randomised(
  inner: Classifier,
  id: string,
  count: number,
  change: (images: Tensor, random: Tensor) => Tensor,
): RandomisedClassifier {
  return {
    ...inner,
    id,
    forward: (parameters, images) => {
      const { model, random } = parameters as { readonly model: Tree<Tensor>; readonly random: Tensor };
      return inner.forward(model, change(images, random));
    },
    draw: ({ seed, sampleIndices, attempts }, call) => {
      const data = new Float32Array(sampleIndices.length * count);
      sampleIndices.forEach((sample, row) => {
        const address = { seed, stream: `model.draw/${attempts[row] ?? 0}`, step: call, sample };
        data.set(uniform(address, count), row * count);
      });
      return { dtype: 'float32', shape: [sampleIndices.length, count], data };
    },
  };
}
