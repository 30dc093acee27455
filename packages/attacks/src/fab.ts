import { memoise, type NdArray, normal, runCompiled, uniform } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { type AttackContext, defineAttack } from './attack.ts';
import { glance, sizeOfImage, startAt } from './compiled.ts';
import { targetedMargin } from './losses.ts';
import { inBall, type Nearest, nearer, nothingYet } from './nearest.ts';
import { type Norm, perSample } from './norms.ts';
import { clipped, type PlaneNorm, product, toPlane } from './plane.ts';
import { margins } from './queries.ts';
import { rankedTargets, targetCount } from './ranked-targets.ts';
import { choose, type RowState, type View, walk } from './rows.ts';
import { countSetting } from './settings.ts';
import { finite } from './step.ts';

/** Constants of the paper: overshoot of the boundary, largest weight of the image, and how far to go back from an adversarial point. */
const OVERSHOOT = 1.05;
const MOST_BIAS = 0.1;
const BACKWARD = 0.9;

type FabState = RowState & Nearest;

/** Targeted fast adaptive boundary attack, Croce and Hein, arXiv 1907.02044: steps onto the boundary of one class after the other, drawn towards the image. */
export const fabT = defineAttack({
  name: 'fab-t',
  summary:
    'The nearest adversarial image by steps onto linearised boundaries, class by class (FAB-T, Croce and Hein 2020)',
  access: 'white-box',
  goal: 'distance',
  norms: ['linf', 'l2'],
  targeted: true,
  settings: z.strictObject({
    steps: countSetting(1000, 100, 'Steps towards each class'),
    restarts: countSetting(100, 1, 'Starts: the image first, then random points near it'),
    targets: countSetting(1000, 9, 'Other classes that are tried, the likeliest first'),
  }),
  attempts: ({ restarts, targets }, classes) => restarts * targetCount(targets, classes),
  cost: ({ steps }) => ({ forwards: 2 * steps + 1, backwards: steps }),
  run: async (context, { steps, targets: wanted }) => {
    const count = targetCount(wanted, context.source.classes);
    const targetsOf = await rankedTargets(context, count);
    return walk<FabState>(context, {
      steps,
      startCost: { forwards: 1, backwards: 0 },
      stepCost: { forwards: 2, backwards: 1 },
      result: ({ best }) => best,
      start: async (view) => ({
        state: { points: await firstPoints(context, view, count), ...nothingYet(view) },
      }),
      advance: async (view, state, step) => {
        const targets = targetsOf(view);
        const { gradient, loss: gap } = await glance(context, view, state.points, {
          loss: targetedMargin,
          step,
          targets,
        });
        const { points, distance, back } = await advance(context, view, state.points, gradient, gap);
        const margin = await margins(context, view, points, step);
        const wrong = Float32Array.from(margin.data, (value) => Number(value > 0));
        const nearest = nearer(state, points, wrong, distance.data);
        const next = { points: choose(wrong, back, points), ...nearest };
        return { state: next, fallen: inBall(nearest, view), judged: nearest.best };
      },
    });
  },
});

/** The image itself; from the second restart on a random point half as far away as the ball reaches. */
function firstPoints(context: AttackContext, view: View, count: number): Promise<NdArray> {
  const size = sizeOfImage(view);
  return startAt(context, view, 'fab.start', (place) => {
    const attempt = view.attempts[place] ?? 0;
    if (attempt < count) return new Float32Array(size);
    const sample = view.sampleIndices[place] ?? 0;
    const address = { seed: context.seed, stream: 'fab.start', step: attempt, sample };
    const drawn = context.norm.name === 'linf' ? uniform(address, size).map((u) => 2 * u - 1) : normal(address, size);
    const length = context.norm.lengthOf(drawn);
    return drawn.map((value) => (0.5 * value) / Math.max(length, 1e-12));
  });
}

async function advance(context: AttackContext, view: View, points: NdArray, gradient: NdArray, gap: NdArray) {
  const { engine, norm } = context;
  const inputs = { images: view.images, points, gradient, gap };
  return runCompiled(engine, `fab-step/${norm.name}`, stepOf(norm), inputs);
}

interface StepInputs {
  readonly images: tf.Tensor;
  readonly points: tf.Tensor;
  /** Of the target's logit minus the label's, and its value `[batch]`. */
  readonly gradient: tf.Tensor;
  readonly gap: tf.Tensor;
}

/** Both the point and the image go to the linearised boundary; the next point lies between them, a little beyond (algorithm 1, lines 7 to 13). */
const stepOf = memoise((norm: Norm) => ({ images, points, gradient: given, gap }: StepInputs) => {
  const gradient = finite(given);
  const kind = norm.name as PlaneNorm; // the attack's norms are those
  const delta = tf.sub(points, images);
  const fromPoint = toPlane(kind, points, gradient, tf.neg(gap));
  const fromImage = toPlane(kind, images, gradient, tf.sub(product(gradient, delta), gap));
  const far = (step: tf.Tensor) => tf.maximum(norm.distance(step), tf.scalar(1e-8));
  const share = tf.minimum(tf.div(far(fromPoint), tf.add(far(fromPoint), far(fromImage))), tf.scalar(MOST_BIAS));
  const bias = perSample(share, points);
  const ahead = tf.add(points, tf.mul(fromPoint, tf.scalar(OVERSHOOT)));
  const near = tf.add(images, tf.mul(fromImage, tf.scalar(OVERSHOOT)));
  const next = clipped(tf.add(ahead, tf.mul(bias, tf.sub(near, ahead))));
  return {
    points: next,
    distance: norm.distance(tf.sub(next, images)),
    back: tf.add(images, tf.mul(tf.sub(next, images), tf.scalar(BACKWARD))),
  };
});
