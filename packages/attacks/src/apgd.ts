import { float32, memoise, type NdArray, normal, runCompiled, uniform } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { type AttackContext, defineAttack, type Outcome } from './attack.ts';
import { type Glance, glance, looksAt, sizeOfImage, startAt, UNIT_BOX, warmed } from './compiled.ts';
import { type AttackLoss, losses, targetedDlr } from './losses.ts';
import { type Norm, perSample } from './norms.ts';
import { rankedTargets, targetCount } from './ranked-targets.ts';
import { choose, type RowState, type Stride, type View, walk } from './rows.ts';
import { countSetting, eotSetting, lossSetting } from './settings.ts';
import { type Bounds, confine, finite } from './step.ts';

const steps = countSetting(1000, 100, 'Gradient steps of each restart');
const restarts = countSetting(100, 1, 'Random starts tried on a sample that resists');

/** Auto-PGD, Croce and Hein, arXiv 2003.01690, algorithm 1: momentum, and a step size that is halved where the loss stalls. */
export const apgd = defineAttack({
  name: 'apgd',
  summary: 'PGD with momentum and a step size that adapts by itself (APGD-CE and APGD-DLR, Croce and Hein 2020)',
  access: 'white-box',
  norms: ['linf', 'l2'],
  settings: z.strictObject({ steps, restarts, loss: lossSetting, eot: eotSetting }),
  attempts: (settings) => settings.restarts,
  cost: (settings) => ({ forwards: settings.steps + 1, backwards: settings.steps + 1 }),
  run: (context, settings) => climbAdaptively(context, { ...settings, loss: context.loss ?? losses[settings.loss] }),
});

/** Auto-PGD towards one class after the other, in the order of the clean logits, on the targeted DLR loss. */
export const apgdT = defineAttack({
  name: 'apgd-t',
  summary: 'Auto-PGD towards each of the most likely other classes, on the targeted DLR loss (Croce and Hein 2020)',
  access: 'white-box',
  norms: ['linf', 'l2'],
  targeted: true,
  settings: z.strictObject({
    steps,
    restarts,
    targets: countSetting(1000, 9, 'Other classes that are tried, the likeliest first'),
    eot: eotSetting,
  }),
  attempts: (settings, classes) => settings.restarts * targetCount(settings.targets, classes),
  cost: (settings) => ({ forwards: settings.steps + 2, backwards: settings.steps + 1 }),
  run: async (context, settings) => {
    const targets = await rankedTargets(context, targetCount(settings.targets, context.source.classes));
    return climbAdaptively(context, { ...settings, loss: context.loss ?? targetedDlr, targets, extraForwards: 1 });
  },
});

interface AdaptiveSettings {
  readonly steps: number;
  readonly loss: AttackLoss;
  readonly eot: number;
  readonly targets?: (view: View) => NdArray;
  readonly extraForwards?: number;
}

interface AdaptiveState extends RowState {
  readonly previous: NdArray;
  readonly gradient: NdArray;
  readonly best: NdArray;
  readonly bestGradient: NdArray;
  /** `[size]` each: the highest loss, the last one, the highest one at the last checkpoint, how often it rose since then, step length, and whether that was halved. */
  readonly bestLoss: NdArray;
  readonly loss: NdArray;
  readonly bestAtCheck: NdArray;
  readonly rises: NdArray;
  readonly stepSize: NdArray;
  readonly halved: NdArray;
}

function climbAdaptively(context: AttackContext, settings: AdaptiveSettings): Promise<Outcome> {
  const { loss, eot, extraForwards = 0 } = settings;
  const at = (view: View, points: NdArray, step: number) => {
    const targets = settings.targets?.(view);
    return glance(context, view, points, { loss, step, averaged: eot, ...(targets && { targets }) });
  };
  const checks = checkpoints(settings.steps);
  const looks = looksAt(context.source, eot);
  return walk<AdaptiveState>(context, {
    steps: settings.steps,
    startCost: { forwards: looks + extraForwards, backwards: looks },
    stepCost: { forwards: looks, backwards: looks },
    result: ({ best }) => best,
    start: async (view) => {
      const points = await warmed(context, view, await surfaceStart(context, view));
      const found = await at(view, points, 0);
      return { state: begun(view, points, found), fallen: found.wrong.data, judged: points };
    },
    advance: async (view, state, step): Promise<Stride<AdaptiveState>> => {
      const points = await stride(context, view, state, step);
      const found = await at(view, points, step);
      const next = climbed(state, points, found);
      const window = checks.get(step);
      return {
        state: window === undefined ? next : checked(next, window),
        fallen: found.wrong.data,
        judged: points,
      };
    },
  });
}

/** Share of rises in a window below which the step is halved. */
const RISES = 0.75;

/**
 * The checkpoints w_j with the lengths of their windows: p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06), w_j = p_j steps (section 3.1),
 * in whole steps as the authors' code rounds them.
 */
export function checkpoints(total: number): ReadonlyMap<number, number> {
  const part = (share: number) => Math.max(Math.floor(share * total + 1e-9), 1);
  const found = new Map<number, number>();
  let window = part(0.22);
  for (let at = window; at <= total; at += window) {
    found.set(at, window);
    window = Math.max(window - part(0.03), part(0.06));
  }
  return found;
}

/** A random point on the surface of the ball, as the authors' code draws it, then in the box. */
function surfaceStart(context: AttackContext, view: View): Promise<NdArray> {
  const size = sizeOfImage(view);
  return startAt(context, view, 'apgd.start', (place) => {
    const address = {
      seed: context.seed,
      stream: 'apgd.start',
      step: view.attempts[place] ?? 0,
      sample: view.sampleIndices[place] ?? 0,
    };
    const drawn = context.norm.name === 'linf' ? uniform(address, size).map((u) => 2 * u - 1) : normal(address, size);
    const length = context.norm.lengthOf(drawn);
    return drawn.map((value) => value / Math.max(length, 1e-12));
  });
}

function begun(view: View, points: NdArray, { gradient, loss }: Glance): AdaptiveState {
  const zero = filled(view, 0);
  return {
    points,
    previous: points,
    gradient,
    best: points,
    bestGradient: gradient,
    bestLoss: loss,
    loss,
    bestAtCheck: loss,
    rises: zero,
    stepSize: float32(
      view.epsilons.map((epsilon) => 2 * epsilon),
      [view.epsilons.length],
    ),
    halved: filled(view, 1), // the first checkpoint does not ask whether the loss improved
  };
}

function filled(view: View, value: number): NdArray {
  return float32(
    view.epsilons.map(() => value),
    [view.epsilons.length],
  );
}

async function stride(context: AttackContext, view: View, state: AdaptiveState, step: number): Promise<NdArray> {
  const { engine, norm } = context;
  const { points, previous, gradient, stepSize } = state;
  const share = float32([step > 1 ? 0.75 : 1], []);
  const inputs = {
    images: view.images,
    epsilon: view.epsilon,
    points,
    previous,
    gradient,
    stepSize,
    share,
    ...UNIT_BOX,
  };
  return (await runCompiled(engine, `apgd-step/${norm.name}`, strideOf(norm), inputs)).points;
}

interface StrideInputs extends Bounds {
  readonly images: tf.Tensor;
  readonly points: tf.Tensor;
  readonly previous: tf.Tensor;
  readonly gradient: tf.Tensor;
  readonly stepSize: tf.Tensor;
  readonly share: tf.Tensor;
}

/** A gradient step, then partly on in the direction of the last one (algorithm 1, lines 7 and 8). */
const strideOf = memoise((norm: Norm) => (inputs: StrideInputs) => {
  const { images, points, previous, gradient, stepSize, share } = inputs;
  const step = tf.mul(norm.normalize(finite(gradient)), perSample(stepSize, points));
  const ahead = confine(norm, images, tf.add(points, step), inputs);
  const kept = tf.mul(tf.sub(tf.scalar(1), share), tf.sub(points, previous));
  const next = tf.add(points, tf.add(tf.mul(share, tf.sub(ahead, points)), kept));
  return { points: confine(norm, images, next, inputs) };
});

/** The state after a step to `points`. */
function climbed(state: AdaptiveState, points: NdArray, { gradient, loss }: Glance): AdaptiveState {
  const improved = loss.data.map((value, i) => Number(value > (state.bestLoss.data[i] ?? 0)));
  return {
    ...state,
    points,
    previous: state.points,
    gradient,
    loss,
    best: choose(improved, points, state.best),
    bestGradient: choose(improved, gradient, state.bestGradient),
    bestLoss: choose(improved, loss, state.bestLoss),
    rises: merge(state.rises, (rises, i) => rises + Number((loss.data[i] ?? 0) > (state.loss.data[i] ?? 0))),
  };
}

/** A checkpoint: where the loss rose too rarely, or neither rose nor was the step halved, the step is halved and the climb goes on from the best point. */
function checked(state: AdaptiveState, window: number): AdaptiveState {
  const { rises, halved, bestAtCheck, bestLoss } = state;
  const stalled = rises.data.map((count, i) => {
    const rarely = count <= RISES * window;
    const stuck = halved.data[i] === 0 && (bestAtCheck.data[i] ?? 0) >= (bestLoss.data[i] ?? 0);
    return Number(rarely || stuck);
  });
  return {
    ...state,
    points: choose(stalled, state.best, state.points),
    gradient: choose(stalled, state.bestGradient, state.gradient),
    stepSize: merge(state.stepSize, (size, i) => (stalled[i] ? size / 2 : size)),
    halved: float32(Float32Array.from(stalled), halved.shape),
    bestAtCheck: bestLoss,
    rises: merge(rises, () => 0),
  };
}

function merge(array: NdArray, map: (value: number, index: number) => number): NdArray {
  return float32(Float32Array.from(array.data, map), array.shape);
}
