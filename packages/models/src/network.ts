import { constantArrays, type NdArray } from '@jsigr/engine';
import type { CheckpointFiles } from './checkpoint.ts';
import type { Classifier } from './classifier.ts';
import { type Forward, forwardOf, type TrainingForward, trainingForwardOf } from './create-classifier.ts';
import type { NetworkSpec } from './imported/spec.ts';
import { type ModelSpec, parameterShapes, resolveModelSpec } from './model-spec.ts';
import { checkShapes, type ParameterShape } from './parameter-shape.ts';

/** What is trained, wherever it comes from: its parameters, and its forward pass in both modes. */
export interface Network {
  /** What determines it but for the values of its parameters. */
  readonly model: NetworkSpec;
  readonly shapes: Readonly<Record<string, Pick<ParameterShape, 'shape' | 'isStatistic'>>>;
  /** In evaluation mode: what attacks, masks and accuracies see. */
  readonly forward: Forward;
  readonly trainingForward: TrainingForward;
  /** Files of an imported network, which its checkpoints carry; none for one of the zoo. */
  readonly foreign: CheckpointFiles;
}

/**
 * A network of the zoo.
 * @throws ModelError if the spec is not valid
 */
export function zooNetwork(spec: ModelSpec): Network {
  return {
    model: resolveModelSpec(spec),
    shapes: parameterShapes(spec),
    forward: forwardOf(spec),
    trainingForward: trainingForwardOf(spec),
    foreign: {},
  };
}

/** Names of the parameters that no optimiser touches. */
export function statisticsOf({ shapes }: Pick<Network, 'shapes'>): ReadonlySet<string> {
  return new Set(Object.entries(shapes).flatMap(([name, { isStatistic }]) => (isStatistic ? [name] : [])));
}

/** @throws ModelError PARAMETER_MISMATCH, naming the first parameter that is missing, unknown or of another shape */
export function classifierOfNetwork(
  { model, shapes, forward }: Network,
  parameters: Readonly<Record<string, NdArray>>,
  id: string,
): Classifier {
  const { architecture, input, classes } = model;
  checkShapes(architecture, shapes, parameters);
  return { id, input, classes, parameters: constantArrays(parameters), forward };
}
