import type { NdArray, Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { findArchitecture } from './architectures/registry.ts';
import type { Classifier } from './classifier.ts';
import { ModelError } from './errors.ts';
import { bindLayers } from './layers.ts';
import { checkParameters, type ModelSpec, type ResolvedModelSpec, resolveModelSpec } from './model-spec.ts';

export type Forward = Classifier['forward'];

/** Compiled functions are cached by identity: one forward function for each network, however often it is asked for. */
const forwards = new Map<string, Forward>();

/** The forward function of a network: the same object for equal specs. */
export function forwardOf(spec: ModelSpec): Forward {
  const resolved = resolveModelSpec(spec);
  const key = JSON.stringify(resolved);
  const known = forwards.get(key);
  if (known) return known;
  const forward = makeForward(resolved);
  forwards.set(key, forward);
  return forward;
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
  return { id, input, classes, parameters, forward: forwardOf(spec) };
}

/** Number of trainable numbers of a classifier. */
export function parameterCount(parameters: Tree<NdArray>): number {
  if (isArray(parameters)) return parameters.data.length;
  return Object.values(parameters).reduce((total, child) => total + parameterCount(child), 0);
}

function makeForward({ architecture, activation, normalization: { mean, deviation } }: ResolvedModelSpec): Forward {
  const { forward } = findArchitecture(architecture);
  const plain = mean === 0 && deviation === 1;
  return (parameters, images) =>
    forward(
      bindLayers(flatRecord(parameters), activation),
      plain ? images : tf.mul(tf.sub(images, mean), 1 / deviation),
    );
}

function flatRecord(tree: Tree<Tensor>): Readonly<Record<string, Tensor>> {
  if (tree instanceof tf.Tensor || Object.values(tree).some((child) => !(child instanceof tf.Tensor)))
    throw new ModelError(
      'PARAMETER_MISMATCH',
      'parameters',
      'the parameters of a network are a flat record of tensors',
    );
  return tree as Readonly<Record<string, Tensor>>;
}

function isArray(tree: Tree<NdArray>): tree is NdArray {
  return 'dtype' in tree && typeof tree.dtype === 'string';
}
