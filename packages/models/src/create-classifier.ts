import { constantArrays, type NdArray, sizeOf, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { Architecture } from './architectures/architecture.ts';
import { findArchitecture } from './architectures/registry.ts';
import type { Classifier } from './classifier.ts';
import { ModelError } from './errors.ts';
import { bindLayers, type LayerOptions } from './layers.ts';
import { checkParameters, type ModelSpec, type ResolvedModelSpec, resolveModelSpec } from './model-spec.ts';

export type Forward = Classifier['forward'];

type Named = Readonly<Record<string, Tensor>>;

/**
 * A forward pass in training mode: batch normalisation uses the statistics of the batch. `statistics` are the next values of the running ones,
 * by parameter name; they carry no gradient into a loss.
 */
export type TrainingForward = (parameters: Named, images: Tensor) => { logits: Tensor; statistics: Named };

interface Forwards {
  readonly evaluation: Forward;
  readonly training: TrainingForward;
}

/** Compiled functions are cached by identity: one pair of functions for each network, however often it is asked for. */
const forwards = new Map<string, Forwards>();

/** The forward function of a network in evaluation mode: the same object for equal specs. */
export function forwardOf(spec: ModelSpec): Forward {
  return forwardsOf(spec).evaluation;
}

/** The forward function of a network in training mode: the same object for equal specs. */
export function trainingForwardOf(spec: ModelSpec): TrainingForward {
  return forwardsOf(spec).training;
}

function forwardsOf(spec: ModelSpec): Forwards {
  const resolved = resolveModelSpec(spec);
  const key = JSON.stringify(resolved);
  const known = forwards.get(key);
  if (known) return known;
  const made = makeForwards(findArchitecture(resolved.architecture), resolved);
  forwards.set(key, made);
  return made;
}

/**
 * A classifier of the zoo.
 * @throws ModelError if the spec is not valid or the parameters do not fit it.
 */
export function createClassifier(
  spec: ModelSpec,
  parameters: Readonly<Record<string, NdArray>>,
  id: string,
): Classifier {
  checkParameters(spec, parameters);
  const { input, classes } = resolveModelSpec(spec);
  return { id, input, classes, parameters: constantArrays(parameters), forward: forwardOf(spec) };
}

/** How many numbers the parameters of a classifier are, running statistics included. */
export function parameterCount(parameters: Tree<NdArray>): number {
  if (isArray(parameters)) return sizeOf(parameters.shape);
  return Object.values(parameters).reduce((total, child) => total + parameterCount(child), 0);
}

/** Both forward functions of an architecture, for one that is not in the registry too. */
export function makeForwards(
  { forward }: Architecture,
  { activation, norm, denoise, normalization: { mean, deviation } }: Omit<ResolvedModelSpec, 'architecture'>,
): Forwards {
  const plain = mean === 0 && deviation === 1;
  const run = (parameters: Named, images: Tensor, options: LayerOptions): Tensor =>
    forward(bindLayers(parameters, options), plain ? images : tf.mul(tf.sub(images, mean), 1 / deviation));
  return {
    evaluation: (parameters, images) => run(flatRecord(parameters), images, { activation, norm, denoise }),
    training: (parameters, images) => {
      const statistics: Record<string, Tensor> = {};
      const record = (name: string, value: Tensor): void => {
        statistics[name] = value;
      };
      return { logits: run(parameters, images, { activation, norm, denoise, record }), statistics };
    },
  };
}

function flatRecord(tree: Tree<Tensor>): Named {
  if (tree instanceof tf.Tensor || Object.values(tree).some((child) => !(child instanceof tf.Tensor)))
    throw new ModelError(
      'PARAMETER_MISMATCH',
      'parameters',
      'the parameters of a network are a flat record of tensors',
    );
  return tree as Named;
}

function isArray(tree: Tree<NdArray>): tree is NdArray {
  return 'dtype' in tree && typeof tree.dtype === 'string';
}
