import { type NdArray, type Tree, valueAndGrad } from '@jsigr/engine';
import type { TrainingForward } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { BoundObjective, TracedLoss } from './objectives/objective.ts';
import type { BoundOptimizer } from './optimizers/optimizer.ts';
import type { TracedTechniques } from './techniques.ts';

type Named<Value> = Readonly<Record<string, Value>>;

/** Inputs of the compiled step: arrays outside, tensors inside. */
export interface StepInputs<Value = NdArray> {
  /** What is trained, and the running statistics of batch normalisation. */
  readonly parameters: Named<Value>;
  /** `slot/parameter` to state. */
  readonly optimizer: Named<Value>;
  readonly images: Value;
  /** One-hot `[batch, classes]`. */
  readonly labels: Value;
  /** `ramp` and the optimiser's scalars. */
  readonly scalars: Named<Value>;
  /** The objective's own inputs. */
  readonly extra: Named<Value>;
}

export interface StepOutputs<Value = NdArray> {
  readonly parameters: Named<Value>;
  readonly optimizer: Named<Value>;
  /** Scalars whose sum is the loss, of the parameters before the step. */
  readonly terms: Named<Value>;
  readonly logits: Value;
}

/** What is trained, in training mode. */
export interface TrainedNetwork {
  readonly forward: TrainingForward;
  /** Names of the parameters that are running statistics: each forward pass moves them, and the optimiser leaves them alone. */
  readonly statistics: ReadonlySet<string>;
}

/** One whole step as a traced function: forward, all derivatives, and the optimiser. State goes in and comes out. */
export function trainingStep(
  { forward, statistics }: TrainedNetwork,
  objective: BoundObjective,
  optimizer: BoundOptimizer,
  techniques: TracedTechniques,
) {
  return (tree: Tree<Tensor>): Tree<Tensor> => {
    const inputs = tree as unknown as StepInputs<Tensor>;
    const { ramp, ...scalars } = inputs.scalars;
    const trained = pick(inputs.parameters, (name) => !statistics.has(name));
    let running = pick(inputs.parameters, (name) => statistics.has(name));
    const weights = techniques.weights(inputs.labels);
    const targets = techniques.targets(inputs.labels);
    let loss: TracedLoss | undefined;
    const { gradient: whole } = valueAndGrad((parameters: Named<Tensor>) => {
      loss = objective.loss({
        forward: (images) => {
          const passed = forward({ ...parameters, ...running }, images);
          running = passed.statistics;
          return passed.logits;
        },
        images: inputs.images,
        labels: inputs.labels,
        targets,
        ...(weights ? { weights } : {}),
        ramp: ramp ?? tf.scalar(1),
        inputs: inputs.extra,
      });
      return Object.values(loss.terms).reduce((sum, term) => tf.add(sum, term));
    }, trained);
    const gradient = techniques.clip(whole);
    const updates = Object.entries(trained).map(([name, parameter]) => {
      const slope = gradient[name];
      if (!loss || !slope) throw new Error(`the reverse pass gave no gradient of ${name}`);
      const state = Object.fromEntries(optimizer.slots.map((slot) => [slot, slotOf(inputs.optimizer, slot, name)]));
      return { name, ...optimizer.update({ parameter, gradient: slope, state, scalars }) };
    });
    if (!loss) throw new Error('the loss was not traced');
    const outputs: StepOutputs<Tensor> = {
      parameters: { ...Object.fromEntries(updates.map(({ name, parameter }) => [name, parameter])), ...running },
      optimizer: Object.fromEntries(
        updates.flatMap(({ name, state }) => Object.entries(state).map(([slot, value]) => [`${slot}/${name}`, value])),
      ),
      terms: loss.terms,
      logits: loss.logits,
    };
    return outputs as unknown as Tree<Tensor>;
  };
}

/** The optimiser's state before the first step: zeros for everything but the running statistics. */
export function initialState(
  optimizer: BoundOptimizer,
  parameters: Named<NdArray>,
  statistics: ReadonlySet<string>,
): Record<string, NdArray> {
  return Object.fromEntries(
    Object.entries(pick(parameters, (name) => !statistics.has(name))).flatMap(([name, { shape, data }]) =>
      optimizer.slots.map((slot) => [
        `${slot}/${name}`,
        { dtype: 'float32', shape, data: new Float32Array(data.length) } as const,
      ]),
    ),
  );
}

function slotOf(state: Named<Tensor>, slot: string, name: string): Tensor {
  const found = state[`${slot}/${name}`];
  if (found === undefined) throw new Error(`the optimiser's state lacks ${slot}/${name}`);
  return found;
}

function pick<Value>(values: Named<Value>, isWanted: (name: string) => boolean): Named<Value> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => isWanted(name)));
}
