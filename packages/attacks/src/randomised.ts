import { memoise, type NdArray, type Tree, uniform } from '@jsigr/engine';
import { type Classifier, ensemble } from '@jsigr/models';
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

/** The classifier whose logits are the mean of its members'; it draws random numbers if one of them does, other ones for each. */
export function ensembleOf(members: readonly Classifier[], id: string): Classifier | RandomisedClassifier {
  const joined = ensemble(members, id);
  if (!members.some(isRandom)) return joined;
  const draw: RandomisedClassifier['draw'] = (asking, call) =>
    Object.fromEntries(
      members.flatMap((member, i) =>
        isRandom(member) ? [[`member${i}`, member.draw(asking, call * members.length + i)]] : [],
      ),
    );
  return { ...joined, forward: drawingOf(joined.forward), draw };
}

/** The joint forward pass of members whose random numbers come beside the parameters of all. */
const drawingOf = memoise((forward: Classifier['forward']): Classifier['forward'] => (parameters, images) => {
  const { model, random } = parameters as Readonly<Record<'model' | 'random', Readonly<Record<string, Tree<Tensor>>>>>;
  const members = Object.entries(model).map(([name, own]) => {
    const drawn = random[name];
    return [name, drawn ? { model: own, random: drawn } : own] as const;
  });
  return forward(Object.fromEntries(members), images);
});

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
