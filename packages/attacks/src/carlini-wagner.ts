import { float32, grad, memoise, type NdArray, runCompiled, scalar, type Tree } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { type AttackContext, defineAttack } from './attack.ts';
import { margin } from './losses.ts';
import { inBall, type Nearest, nearer, nothingYet } from './nearest.ts';
import { flat } from './norms.ts';
import { parametersOf } from './randomised.ts';
import { type RowState, type View, walk } from './rows.ts';
import { countSetting } from './settings.ts';
import { finite, isWrong } from './step.ts';

interface WagnerState extends RowState, Nearest {
  /** The image is `(tanh(latent) + 1) / 2`: always in the box. `first` and `second` are Adam's moments. */
  readonly latent: NdArray;
  readonly first: NdArray;
  readonly second: NdArray;
  /** `[size]` each: the weight of the margin, its bounds so far, and whether the present search has got across the boundary, by the confidence. */
  readonly weight: NdArray;
  readonly low: NdArray;
  readonly high: NdArray;
  readonly crossed: NdArray;
}

/** The l2 attack of Carlini and Wagner, arXiv 1608.04644, section VI: Adam on `|d|^2 + c max(z_y - z_other, -k)`, and a search for the smallest c. */
export const carliniWagner = defineAttack({
  name: 'cw',
  summary: 'The nearest adversarial image in l2, by Adam on distance and margin together (Carlini and Wagner 2017)',
  access: 'white-box',
  goal: 'distance',
  norms: ['l2'],
  settings: z.strictObject({
    steps: countSetting(10_000, 200, 'Steps of Adam in each search'),
    searches: countSetting(20, 9, 'Weights of the margin that are tried, halving what is left'),
    learningRate: z.number().positive().max(1).default(0.01).describe('Of Adam, 0..1'),
    weight: z.number().positive().max(1e6).default(0.01).describe('The first weight of the margin'),
    confidence: z.number().min(0).max(1000).default(0).describe('By how much the other logit must win, 0..1000'),
  }),
  cost: ({ steps, searches }) => ({ forwards: steps * searches, backwards: steps * searches }),
  run: (context, settings) => {
    const { steps, searches } = settings;
    return walk<WagnerState>(context, {
      steps: steps * searches,
      stepCost: { forwards: 1, backwards: 1 },
      result: ({ best }) => best,
      start: async (view) => ({ state: begun(view, settings.weight) }),
      advance: async (view, state, step) => {
        const round = (step - 1) % steps;
        const found = await stepAt(context, view, state, settings, step, round + 1);
        const nearest = nearer(state, found.points, found.wrong.data, found.distance.data);
        const crossed = zip(state.crossed, found.wrong, Math.max);
        const { points, latent, first, second } = found;
        const next = { ...state, points, latent, first, second, crossed, ...nearest };
        return {
          state: round + 1 === steps ? searched(view, next) : next,
          fallen: inBall(nearest, view),
          judged: nearest.best,
        };
      },
    });
  },
});

/** Keeps the inverse hyperbolic tangent of black and white finite. */
const INSIDE = 0.999999;

function begun(view: View, weight: number): WagnerState {
  const column = (value: number) =>
    float32(
      view.epsilons.map(() => value),
      [view.epsilons.length],
    );
  return {
    points: view.images,
    ...fresh(view),
    weight: column(weight),
    low: column(0),
    high: column(UNBOUNDED),
    crossed: column(0),
    ...nothingYet(view),
  };
}

function fresh({ images }: View) {
  const zero = float32(new Float32Array(images.data.length), images.shape);
  const latent = Float32Array.from(images.data, (value) => Math.atanh((2 * value - 1) * INSIDE));
  return { latent: float32(latent, images.shape), first: zero, second: zero };
}

const UNBOUNDED = 1e10;

/** After a search: a smaller weight where the boundary was crossed, a larger one elsewhere; then from the image again. */
function searched(view: View, state: WagnerState): WagnerState {
  const bounds = Array.from(state.weight.data, (weight, i) => {
    const crossed = state.crossed.data[i] === 1;
    const low = crossed ? (state.low.data[i] ?? 0) : Math.max(state.low.data[i] ?? 0, weight);
    const high = crossed ? Math.min(state.high.data[i] ?? UNBOUNDED, weight) : (state.high.data[i] ?? UNBOUNDED);
    return { low, high, weight: high < UNBOUNDED ? (low + high) / 2 : weight * 10 };
  });
  const column = (values: readonly number[]) => float32([...values], [values.length]);
  return {
    ...state,
    ...fresh(view),
    weight: column(bounds.map((each) => each.weight)),
    low: column(bounds.map((each) => each.low)),
    high: column(bounds.map((each) => each.high)),
    crossed: column(bounds.map(() => 0)),
  };
}

function zip(a: NdArray, b: NdArray, join: (a: number, b: number) => number): NdArray {
  return float32(
    Float32Array.from(a.data, (value, i) => join(value, b.data[i] ?? 0)),
    a.shape,
  );
}

/** Adam's constants. */
const DECAY = { first: 0.9, second: 0.999 } as const;

function stepAt(
  context: AttackContext,
  view: View,
  { latent, first, second, weight }: WagnerState,
  { learningRate, confidence }: { readonly learningRate: number; readonly confidence: number },
  call: number,
  time: number,
) {
  const { engine, source, seed } = context;
  const inputs = {
    parameters: parametersOf(source, { seed, ...view }, call),
    images: view.images,
    labels: view.labels,
    latent,
    first,
    second,
    weight,
    confidence: scalar(confidence),
    rate: scalar((learningRate * Math.sqrt(1 - DECAY.second ** time)) / (1 - DECAY.first ** time)),
  };
  return runCompiled(engine, 'cw-step', stepOf(source.forward), inputs);
}

interface StepInputs {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly labels: tf.Tensor;
  readonly latent: tf.Tensor;
  readonly first: tf.Tensor;
  readonly second: tf.Tensor;
  readonly weight: tf.Tensor;
  readonly confidence: tf.Tensor;
  readonly rate: tf.Tensor;
}

const stepOf = memoise((forward: Classifier['forward']) => (inputs: StepInputs) => {
  const { parameters, images, labels, latent, first, second, weight, confidence, rate } = inputs;
  const imageOf = (w: tf.Tensor) => tf.mul(tf.add(tf.tanh(w), tf.scalar(1)), tf.scalar(0.5));
  const squares = (points: tf.Tensor) => tf.sum(tf.square(flat(tf.sub(points, images))), 1);
  const slopeOf = grad((w: tf.Tensor) => {
    const points = imageOf(w);
    const missing = tf.relu(tf.sub(confidence, margin.value(forward(parameters, points), labels, labels)));
    return tf.sum(tf.add(squares(points), tf.mul(weight, missing)));
  });
  const slope = finite(slopeOf(latent));
  const points = imageOf(latent);
  const nextFirst = tf.add(tf.mul(first, tf.scalar(DECAY.first)), tf.mul(slope, tf.scalar(1 - DECAY.first)));
  const nextSecond = tf.add(
    tf.mul(second, tf.scalar(DECAY.second)),
    tf.mul(tf.square(slope), tf.scalar(1 - DECAY.second)),
  );
  const step = tf.div(nextFirst, tf.add(tf.sqrt(nextSecond), tf.scalar(1e-8)));
  return {
    points,
    latent: tf.sub(latent, tf.mul(step, rate)),
    first: nextFirst,
    second: nextSecond,
    wrong: isWrong(forward(parameters, points), labels, confidence),
    distance: tf.sqrt(squares(points)),
  };
});
