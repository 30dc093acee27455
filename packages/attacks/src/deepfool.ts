import { int32, memoise, type NdArray, runCompiled, type Tree, vjp } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { type AttackContext, defineAttack } from './attack.ts';
import { oneHot } from './losses.ts';
import { inBall, type Nearest, nearer, nothingYet } from './nearest.ts';
import { asNumber, blend, type Norm, perSample } from './norms.ts';
import { clipped, type PlaneNorm, toPlane } from './plane.ts';
import { logitsOfRows } from './queries.ts';
import { parametersOf } from './randomised.ts';
import { targetCount } from './ranked-targets.ts';
import { type RowState, type View, walk } from './rows.ts';
import { countSetting } from './settings.ts';
import { finite, isWrong } from './step.ts';

/** How far beyond the boundary. */
const OVERSHOOT = 1.02;

type DeepFoolState = RowState & Nearest;

/** DeepFool, Moosavi-Dezfooli et al., arXiv 1511.04599: step by step onto the nearest linearised boundary (here within the box). */
export const deepfool = defineAttack({
  name: 'deepfool',
  summary: 'Steps onto the nearest linearised boundary until it is crossed (Moosavi-Dezfooli et al. 2016)',
  access: 'white-box',
  goal: 'distance',
  norms: ['linf', 'l2'],
  settings: z.strictObject({
    steps: countSetting(1000, 50, 'Steps'),
    candidates: countSetting(100, 9, 'Other classes that are looked at, the likeliest first'),
  }),
  cost: ({ steps, candidates }, classes) => ({
    forwards: steps + 2,
    backwards: (steps + 1) * targetCount(candidates, classes),
  }),
  run: async (context, { steps, candidates }) => {
    const count = targetCount(candidates, context.source.classes);
    const targetsOf = await likeliest(context, count);
    const cost = { forwards: 1, backwards: count };
    return walk<DeepFoolState>(context, {
      steps: steps + 1, // the last one only looks whether the one before crossed
      startCost: { forwards: 1, backwards: 0 },
      stepCost: cost,
      result: ({ best }) => best,
      start: async (view) => ({ state: { points: view.images, ...nothingYet(view) } }),
      advance: async (view, state, step) => {
        const found = await stepAt(context, view, state.points, targetsOf(view), step);
        const nearest = nearer(state, state.points, found.wrong.data, found.distance.data);
        // What has crossed stays: the first crossing is DeepFool's answer.
        const fallen = Array.from(found.wrong.data, (wrong, i) => wrong || (inBall(nearest, view)[i] ?? 0));
        return { state: { points: found.points, ...nearest }, fallen, judged: nearest.best };
      },
    });
  },
});

/** The likeliest other classes of each clean image. */
async function likeliest(context: AttackContext, count: number): Promise<(view: View) => NdArray> {
  const logits = await logitsOfRows(context, context.images);
  const orders = logits.map((row, i) =>
    [...row.keys()]
      .filter((index) => index !== context.labels.data[i])
      .sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0) || a - b)
      .slice(0, count),
  );
  return (view) =>
    int32(
      view.rows.flatMap((row) => orders[row] ?? []),
      [view.rows.length, count],
    );
}

function stepAt(context: AttackContext, view: View, points: NdArray, targets: NdArray, step: number) {
  const { engine, source, norm, seed } = context;
  const parameters = parametersOf(source, { seed, ...view }, step);
  const inputs = { parameters, images: view.images, points, labels: view.labels, targets };
  return runCompiled(engine, `deepfool-step/${norm.name}`, stepOf(source.forward, norm), inputs);
}

interface StepInputs {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly points: tf.Tensor;
  readonly labels: tf.Tensor;
  /** `[batch, candidates]` */
  readonly targets: tf.Tensor;
}

/** The gap and its gradient to each candidate share one forward pass; the boundary that is nearest in the norm is stepped onto. */
const stepOf = memoise((forward: Classifier['forward'], norm: Norm) => (inputs: StepInputs) => {
  const { parameters, images, points, labels, targets } = inputs;
  const { value: logits, pullback } = vjp((x) => forward(parameters, x), points);
  const label = oneHot(logits, labels);
  const count = targets.shape[1] ?? 1;
  const boundaries = Array.from({ length: count }, (_, i) => {
    const target = oneHot(logits, tf.reshape(tf.slice(targets, [0, i], [-1, 1]), [-1]));
    const direction = tf.sub(target, label);
    const gradient = finite(pullback(direction));
    const gap = tf.sum(tf.mul(direction, logits), 1);
    return { gradient, gap, distance: tf.div(tf.abs(gap), tf.maximum(norm.dual(gradient), tf.scalar(1e-12))) };
  });
  const nearest = boundaries.reduce((a, b) => {
    const second = asNumber(tf.less(b.distance, a.distance));
    return {
      gap: blend(second, b.gap, a.gap),
      distance: blend(second, b.distance, a.distance),
      gradient: blend(perSample(second, points), b.gradient, a.gradient),
    };
  });
  const step = toPlane(norm.name as PlaneNorm, points, nearest.gradient, tf.neg(nearest.gap));
  return {
    points: clipped(tf.add(points, tf.mul(step, tf.scalar(OVERSHOOT)))),
    wrong: isWrong(logits, labels),
    distance: norm.distance(tf.sub(points, images)),
  };
});
