import { createEngine, type Engine, float32, type NdArray, specsOf, type Tree, valueAndGrad } from '@jsigr/engine';
import { initialParameters, type ModelSpec, trainingForwardOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BoundObjective } from './objectives/objective.ts';
import { findObjective } from './objectives/registry.ts';
import { randomArray, traced } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const BATCH = 3;

interface LossInputs {
  readonly parameters: Readonly<Record<string, Tensor>>;
  readonly images: Tensor;
  readonly labels: Tensor;
  readonly extra: Readonly<Record<string, Tensor>>;
}

function lossFunctions(spec: ModelSpec, objective: BoundObjective) {
  const forward = trainingForwardOf(spec);
  const value = ({ images, labels, extra }: LossInputs, parameters: Readonly<Record<string, Tensor>>) => {
    const { terms } = objective.loss({
      forward: (x) => forward(parameters, x).logits,
      images,
      labels,
      targets: labels,
      ramp: tf.scalar(1),
      inputs: extra,
    });
    return Object.values(terms).reduce((sum, term) => tf.add(sum, term));
  };
  return {
    loss: traced<LossInputs>((inputs) => ({ value: value(inputs, inputs.parameters) })),
    slope: traced<LossInputs>(
      (inputs) =>
        valueAndGrad((parameters: LossInputs['parameters']) => value(inputs, parameters), inputs.parameters).gradient,
    ),
  };
}

describe('the parameter gradient of a smooth network agrees with finite differences', () => {
  it.each([
    { name: 'jacobian', settings: { jacobianWeight: 1 } },
    { name: 'jacobian', settings: { jacobianWeight: 1, projections: -1 } },
    { name: 'input-gradient', settings: { gradientWeight: 5 } },
    { name: 'jsigr', settings: { jacobianWeight: 1, gradientWeight: 5, mask: 'soft' } },
    { name: 'jsigr', settings: { jacobianWeight: 1, gradientWeight: 5, gradientTarget: 'probability', mask: 'hard' } },
    { name: 'jacobian', settings: { jacobianWeight: 1, projections: -1, jacobianOutput: 'probabilities' } },
    { name: 'jacobian', settings: { jacobianWeight: 1, projections: 2, jacobianOutput: 'probabilities' } },
    { name: 'jacobian', settings: { jacobianWeight: 1, projections: -1, jacobianSquared: false } },
    { name: 'interpretation', settings: { cosineWeight: 1, normWeight: 1 } },
    { name: 'trades', settings: { divergenceWeight: 6 } },
    { name: 'mart', settings: { divergenceWeight: 5 } },
    { name: 'ensemble-at', settings: {} },
    // The absolute value in this term has kinks; the logit's gradient crosses none of them on this step.
    { name: 'input-gradient', settings: { gradientWeight: 0, gradientTarget: 'logit', imitationWeight: 1 } },
  ])('$name with $settings', async ({ name, settings }) => {
    const spec: ModelSpec = { architecture: 'smallcnn', activation: 'softplus', input: [8, 8, 1], classes: 3 };
    const objective = findObjective(name).bind(settings);
    const { loss, slope } = lossFunctions(spec, objective);
    const parameters = initialParameters(spec, 2);
    const images = randomArray([BATCH, 8, 8, 1], 'images', 0.5);
    const saliency = float32(randomArray([BATCH, 8, 8, 1], 'saliency').data.map((s) => Math.abs(s)) as Float32Array, [
      BATCH,
      8,
      8,
      1,
    ]);
    const neighbours = float32(images.data.map((x, i) => x + 0.5 + 0.1 * (-1) ** i) as Float32Array, images.shape);
    const fixed = {
      images: float32(images.data.map((x) => x + 0.5) as Float32Array, images.shape),
      labels: float32([1, 0, 0, 0, 1, 0, 0, 0, 1], [BATCH, 3]),
      extra: {
        // What an attack would have made of the images.
        ...Object.fromEntries(
          ['trades', 'mart', 'ensemble-at'].includes(name)
            ? [[name === 'trades' ? 'adversarial' : 'clean', neighbours]]
            : [],
        ),
        ...objective.inputs({ seed: 1, step: 1, batchSize: BATCH, input: [8, 8, 1], classes: 3, saliency }),
      },
    };
    const at = async (values: Readonly<Record<string, NdArray>>) => {
      const inputs = { ...fixed, parameters: values } as unknown as Tree<NdArray>;
      const compiled = await engine.compile(loss, specsOf(inputs));
      return ((await compiled.run(inputs)) as { value: NdArray }).value.data[0] ?? Number.NaN;
    };
    const inputs = { ...fixed, parameters } as unknown as Tree<NdArray>;
    const gradient = (await (await engine.compile(slope, specsOf(inputs))).run(inputs)) as Record<string, NdArray>;
    // Along the gradient itself the derivative is its length, far above the rounding of float32.
    const length = Math.sqrt(Object.values(gradient).reduce((sum, { data }) => sum + dot(data, data), 0));
    const step = 0.001;
    const moved = (sign: number) =>
      Object.fromEntries(
        Object.entries(parameters).map(([key, { shape, data }]) => [
          key,
          float32(
            Float32Array.from(data, (value, i) => value + (sign * step * (gradient[key]?.data[i] ?? 0)) / length),
            shape,
          ),
        ]),
      );
    const difference = ((await at(moved(1))) - (await at(moved(-1)))) / (2 * step);
    expect(Math.abs(difference / length - 1)).toBeLessThan(5e-4);
  });
});

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}
