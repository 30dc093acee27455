// The jobs of `npm run bench:tensorflow`: the same mathematics as in peer.py, on the same numbers.
import {
  type Compiled,
  type Engine,
  float32,
  type NdArray,
  normal,
  specOf,
  type TensorSpec,
  type Tree,
  uniform,
  valueAndGrad,
  vjp,
} from '@jsigr/engine';
import { forwardOf, initialParameters, type ModelSpec } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';

export interface Network {
  readonly architecture: 'lenet' | 'resnet8';
  readonly input: readonly [number, number, number];
  readonly batch: number;
}

export const NETWORKS: readonly Network[] = [
  { architecture: 'lenet', input: [28, 28, 1], batch: 64 },
  { architecture: 'resnet8', input: [32, 32, 3], batch: 32 },
];

export const JOBS = ['forward', 'train', 'jsigr', 'pgd'] as const;
export type Job = (typeof JOBS)[number];

const CLASSES = 10;
const STEP = { rate: 1e-3, epsilon: 1e-6, ball: 0.1, pgd: 0.01 };

type Named<Value> = Readonly<Record<string, Value>>;
interface State<Value> {
  readonly parameters: Named<Value>;
  readonly first: Named<Value>;
  readonly second: Named<Value>;
}
interface Batch<Value> {
  readonly x: Value;
  readonly y: Value;
  readonly v: Value;
  readonly adversarial: Value;
}

/** Weights, optimiser state and one batch, drawn from seeds. */
export function startOf({ architecture, input, batch }: Network): { state: State<NdArray>; batch: Batch<NdArray> } {
  const spec: ModelSpec = {
    architecture,
    input: [...input],
    classes: CLASSES,
    normalization: { mean: 0, deviation: 1 },
  };
  // small weights instead of the zeros that some layers start with, so that no work is trivial
  const parameters = Object.fromEntries(
    Object.entries(initialParameters(spec, 1)).map(([name, { shape, data }]) => [
      name,
      data.some((value) => value !== 0)
        ? float32(Float32Array.from(data), shape)
        : float32(
            normal({ seed: 2, stream: name }, data.length).map((value) => 0.05 * value),
            shape,
          ),
    ]),
  );
  const zeros = () =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, { shape, data }]) => [
        name,
        float32(new Float32Array(data.length), shape),
      ]),
    );
  const size = batch * input[0] * input[1] * input[2];
  const x = float32(uniform({ seed: 3, stream: 'x' }, size), [batch, ...input]);
  const y = Float32Array.from({ length: batch * CLASSES }, (_, i) =>
    Number(i % CLASSES === Math.floor(i / CLASSES) % CLASSES),
  );
  const v = normal({ seed: 3, stream: 'v' }, batch * CLASSES);
  for (let row = 0; row < batch; row++) {
    const part = v.subarray(row * CLASSES, (row + 1) * CLASSES);
    const length = Math.hypot(...part);
    for (const [i, value] of part.entries()) part[i] = value / length;
  }
  return {
    state: { parameters, first: zeros(), second: zeros() },
    batch: { x, y: float32(y, [batch, CLASSES]), v: float32(v, [batch, CLASSES]), adversarial: x },
  };
}

const crossEntropy = (z: tf.Tensor, y: tf.Tensor) => tf.mean(tf.neg(tf.sum(tf.mul(y, tf.logSoftmax(z)), 1)));
const meanSquare = (g: tf.Tensor) => tf.mean(tf.sum(tf.square(g), [1, 2, 3]));

type Forward = (parameters: Named<tf.Tensor>, x: tf.Tensor) => tf.Tensor;
type Inputs = State<tf.Tensor> & Batch<tf.Tensor>;

function adam(inputs: Inputs, value: tf.Tensor, gradient: Named<tf.Tensor>) {
  const names = Object.keys(inputs.parameters);
  const of = (tree: Named<tf.Tensor>, name: string) => tree[name] as tf.Tensor;
  const collect = (make: (name: string) => tf.Tensor) => Object.fromEntries(names.map((name) => [name, make(name)]));
  const first = collect((name) => tf.add(tf.mul(of(inputs.first, name), 0.9), of(gradient, name)));
  const second = collect((name) => tf.add(tf.mul(of(inputs.second, name), 0.999), tf.square(of(gradient, name))));
  const parameters = collect((name) =>
    tf.sub(
      of(inputs.parameters, name),
      tf.mul(tf.div(of(first, name), tf.add(tf.sqrt(of(second, name)), STEP.epsilon)), STEP.rate),
    ),
  );
  return { loss: value, parameters, first, second };
}

const JOB: Readonly<Record<Job, (forward: Forward) => (inputs: Inputs) => Tree<tf.Tensor>>> = {
  forward: (forward) =>
    function forwardOnly({ parameters, x }) {
      return { logits: forward(parameters, x) };
    },
  train: (forward) =>
    function plainStep(inputs) {
      const loss = (p: Named<tf.Tensor>) => crossEntropy(forward(p, inputs.x), inputs.y);
      const { value, gradient } = valueAndGrad(loss, inputs.parameters);
      return adam(inputs, value, gradient);
    },
  jsigr: (forward) =>
    function jsigrStep(inputs) {
      const { x, y, v } = inputs;
      const loss = (p: Named<tf.Tensor>) => {
        const { value: z, pullback } = vjp((q: tf.Tensor) => forward(p, q), x);
        const selective = meanSquare(pullback(tf.sub(tf.softmax(z), y)));
        const jacobian = tf.mul(meanSquare(pullback(v)), CLASSES / 2);
        return tf.add(crossEntropy(z, y), tf.add(tf.mul(selective, 0.5), tf.mul(jacobian, 0.01)));
      };
      const { value, gradient } = valueAndGrad(loss, inputs.parameters);
      return adam(inputs, value, gradient);
    },
  pgd: (forward) =>
    function pgdStep({ parameters, x, y, adversarial }) {
      const { value, gradient } = valueAndGrad(
        (q: tf.Tensor) => tf.sum(tf.neg(tf.sum(tf.mul(y, tf.logSoftmax(forward(parameters, q))), 1))),
        adversarial,
      );
      const moved = tf.add(adversarial, tf.mul(tf.sign(gradient), STEP.pgd));
      const inBall = tf.minimum(tf.maximum(moved, tf.sub(x, STEP.ball)), tf.add(x, STEP.ball));
      return { loss: value, adversarial: tf.clipByValue(inBall, 0, 1) };
    },
};

/** A function that makes one step and remembers the state; it gives the loss, if there is one. */
export async function stepper(engine: Engine, network: Network, job: Job): Promise<() => Promise<number | undefined>> {
  const { architecture, input } = network;
  const start = startOf(network);
  const spec: ModelSpec = {
    architecture,
    input: [...input],
    classes: CLASSES,
    normalization: { mean: 0, deviation: 1 },
  };
  const step = JOB[job](forwardOf(spec) as Forward) as unknown as (inputs: Tree<tf.Tensor>) => Tree<tf.Tensor>;
  let inputs: Tree<NdArray> = { ...start.state, ...start.batch };
  const specs = mapLeaves(inputs);
  const compiled = (await engine.compile(step, specs, { name: `${architecture} ${job}` })) as unknown as Compiled<
    Tree<TensorSpec>,
    Record<string, tf.Tensor>
  >;
  return async () => {
    const outputs = (await compiled.run(inputs as never)) as Record<string, NdArray>;
    const { loss, logits: _, ...state } = outputs;
    inputs = { ...(inputs as Record<string, NdArray>), ...state };
    return loss?.data[0];
  };
}

function mapLeaves(tree: Tree<NdArray>): Tree<TensorSpec> {
  if ('data' in tree) return specOf(tree as NdArray);
  return Object.fromEntries(Object.entries(tree).map(([name, child]) => [name, mapLeaves(child as Tree<NdArray>)]));
}
