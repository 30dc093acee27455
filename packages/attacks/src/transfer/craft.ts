import { float32, type NdArray, runCompiled } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import type { AttackContext, Cost, Outcome } from '../attack.ts';
import { moved, sizeOfImage } from '../compiled.ts';
import { type LossName, losses } from '../losses.ts';
import { evenly } from '../norms.ts';
import { parametersOf } from '../randomised.ts';
import { type RowState, type View, walk } from '../rows.ts';
import { type FusionName, fusedGradientOf, fusions } from './fusion.ts';
import type { Copy } from './inputs.ts';
import { copiesOf, type Recipe } from './recipe.ts';

export interface CraftSettings {
  readonly recipe: Recipe;
  readonly steps: number;
  /** Weight of the directions before, mu. */
  readonly decay: number;
  readonly loss: LossName;
  readonly fusion: FusionName;
}

interface CraftState extends RowState {
  readonly momentum: NdArray;
  readonly variance: NdArray;
}

/** Points around the last one at which variance tuning looks, drawn from the norm's ball of so many epsilons (arXiv 2103.15571). */
const NEIGHBOURS = 20;
const NEIGHBOURHOOD = 1.5;

export function craftCost(recipe: Recipe, steps: number): Cost {
  const looks = steps * copiesOf(recipe) * (recipe.tuned ? 1 + NEIGHBOURS : 1);
  return { forwards: looks, backwards: looks };
}

/** Adversarial images on surrogates, from the pieces of a recipe. All steps are made: what fools the surrogates may not fool the target yet. */
export function craft(context: AttackContext, settings: CraftSettings): Promise<Outcome> {
  const { recipe, steps, decay } = settings;
  return walk<CraftState>(context, {
    steps,
    stepCost: craftCost(recipe, 1),
    start: async ({ images }) => ({ state: { points: images, momentum: zero(images), variance: zero(images) } }),
    advance: async (view, { points, momentum, variance }, step) => {
      const sizes = view.epsilons.map((epsilon) => epsilon / steps);
      // The momentum's mean size is 1, so that this is as far as a step in every norm.
      const reach = sizes.map((size) => decay * evenly(context.norm, size, sizeOfImage(view)));
      const ahead =
        recipe.momentum === 'ni' ? combine(points, momentum, (x, g, row) => x + (reach[row] ?? 0) * g) : points;
      const plain = await gradientAt(context, view, settings, ahead, step, 0);
      const tuned = recipe.tuned ? combine(plain, variance, (g, v) => g + v) : plain;
      const gradient = recipe.smoothed ? await smoothed(context, tuned) : tuned;
      const direction = recipe.momentum
        ? combine(momentum, perMean(gradient), (before, now) => decay * before + now)
        : gradient;
      const state = {
        points: await moved(context, view, points, direction, sizes),
        momentum: direction,
        variance: recipe.tuned ? await varianceAt(context, view, settings, points, plain, step) : variance,
      };
      return { state };
    },
  });
}

/** The mean gradient over all copies of the images. `around` tells apart the looks of one step. */
async function gradientAt(
  context: AttackContext,
  view: View,
  { recipe, loss, fusion }: CraftSettings,
  points: NdArray,
  step: number,
  around: number,
): Promise<NdArray> {
  const { engine, source, seed, members = [source] } = context;
  const raised = context.loss ?? losses[loss];
  const traced = fusedGradientOf(fusions[fusion], raised, ...members.map(({ forward }) => forward));
  const name = `transfer/${raised.name}/${fusion}`;
  const total = copiesOf(recipe);
  let sum = zero(points);
  const look = step * (NEIGHBOURS + 1) + around;
  for (let index = 0; index < total; index++) {
    const call = (look * total + index) * members.length;
    const parameters = Object.fromEntries(
      members.map((member, i) => [`member${i}`, parametersOf(member, { seed, ...view }, call + i)]),
    );
    const chain = chainOf(context, view, recipe, look, index);
    let seen = points;
    for (const copy of chain) seen = await copy.apply(seen);
    const inputs = { parameters, points: seen, labels: view.labels, targets: view.labels };
    let { gradient } = await runCompiled(engine, name, traced, inputs);
    for (const copy of [...chain].reverse()) gradient = await copy.back(gradient);
    sum = combine(sum, gradient, (a, b) => a + b);
  }
  return total === 1 ? sum : combine(sum, sum, (value) => value / total);
}

/** One copy of every piece; `index` counts through their combinations. */
function chainOf(context: AttackContext, view: View, { inputs }: Recipe, step: number, index: number): Copy[] {
  let rest = index;
  return inputs.map((piece) => {
    const copy = rest % piece.copies;
    rest = Math.floor(rest / piece.copies);
    return piece.draw(context, view, step, copy);
  });
}

/** How the gradient around a point differs from the one at it, on average (VMI, eq. 6). */
async function varianceAt(
  context: AttackContext,
  view: View,
  settings: CraftSettings,
  points: NdArray,
  gradient: NdArray,
  step: number,
): Promise<NdArray> {
  const size = sizeOfImage(view);
  let sum = zero(points);
  for (let i = 0; i < NEIGHBOURS; i++) {
    const near = Float32Array.from(points.data);
    view.rows.forEach((_, place) => {
      const address = {
        seed: context.seed,
        stream: `transfer.vmi/${view.attempts[place] ?? 0}`,
        step: step * NEIGHBOURS + i,
        sample: view.sampleIndices[place] ?? 0,
      };
      const reach = NEIGHBOURHOOD * (view.epsilons[place] ?? 0);
      context.norm.sample(address, size).forEach((part, j) => {
        near[place * size + j] = (near[place * size + j] ?? 0) + part * reach;
      });
    });
    const there = await gradientAt(context, view, settings, float32(near, points.shape), step, i + 1);
    sum = combine(sum, there, (a, b) => a + b);
  }
  return combine(sum, gradient, (total, own) => total / NEIGHBOURS - own);
}

/**
 * Side and standard deviation, in pixels, of the Gaussian of translation invariance (arXiv 1904.02884), for images of a few dozen pixels: as in the
 * authors' code its edge lies three standard deviations away.
 */
const KERNEL = { side: 7, width: 1 } as const;

async function smoothed({ engine }: AttackContext, gradient: NdArray): Promise<NdArray> {
  const channels = gradient.shape[3] ?? 1;
  const middle = (KERNEL.side - 1) / 2;
  const bell = Array.from({ length: KERNEL.side }, (_, i) => Math.exp(-(((i - middle) / KERNEL.width) ** 2) / 2));
  const total = bell.reduce((a, b) => a + b, 0) ** 2;
  const kernel = bell.flatMap((a) => bell.flatMap((b) => Array.from({ length: channels }, () => (a * b) / total)));
  const inputs = { gradient, kernel: float32(kernel, [KERNEL.side, KERNEL.side, channels, 1]) };
  return (await runCompiled(engine, 'smoothing', smoothing, inputs)).gradient;
}

function smoothing({ gradient, kernel }: { readonly gradient: tf.Tensor; readonly kernel: tf.Tensor }) {
  return { gradient: tf.depthwiseConv2d(gradient as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'same') as tf.Tensor };
}

/** Divided by the mean absolute value of each row (as in the authors' code of MI-FGSM, where the paper has the sum). */
function perMean(gradient: NdArray): NdArray {
  const rows = gradient.shape[0] ?? 1;
  const size = gradient.data.length / rows;
  const scales = Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * size; i < (row + 1) * size; i++) sum += Math.abs(gradient.data[i] ?? 0);
    return Math.max(sum / size, 1e-30);
  });
  return combine(gradient, gradient, (value, _, row) => value / (scales[row] ?? 1));
}

function combine(a: NdArray, b: NdArray, join: (a: number, b: number, row: number) => number): NdArray {
  const size = a.data.length / (a.shape[0] ?? 1);
  const data = new Float32Array(a.data.length);
  for (let i = 0; i < data.length; i++) data[i] = join(a.data[i] ?? 0, b.data[i] ?? 0, Math.floor(i / size));
  return float32(data, a.shape);
}

function zero(like: NdArray): NdArray {
  return float32(new Float32Array(like.data.length), like.shape);
}
