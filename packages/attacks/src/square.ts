import { float32, type NdArray, type RandomAddress, runCompiled } from '@jsigr/engine';

import { z } from 'zod';
import { type AttackContext, defineAttack } from './attack.ts';
import { sizeOfImage, UNIT_BOX } from './compiled.ts';
import { margins } from './queries.ts';
import { type RowState, type View, walk } from './rows.ts';
import { countSetting } from './settings.ts';
import { type SquareNorm, squareMoves } from './square-moves.ts';
import { confineOf } from './step.ts';

interface SquareState extends RowState {
  /** `[size]`: the best other logit minus the label's at the points. */
  readonly margin: NdArray;
}

/** Square attack, Andriushchenko et al., arXiv 1912.00049: random squares, kept where they raise the margin. Logits only. */
export const square = defineAttack({
  name: 'square',
  summary: 'Random squares, kept where they raise the margin: needs logits, no gradients (Andriushchenko et al. 2020)',
  access: 'score',
  norms: ['linf', 'l2'],
  settings: z.strictObject({
    queries: countSetting(1_000_000, 5000, 'Squares that are tried'),
    restarts: countSetting(100, 1, 'Random starts tried on a sample that resists'),
    area: z.number().positive().max(1).default(0.8).describe('Share of the image that the first squares cover, 0..1'),
    stretch: z
      .boolean()
      .default(true)
      .describe('Squares shrink in proportion to the queries; false: as for 10,000 queries, whatever their number'),
  }),
  attempts: ({ restarts }) => restarts,
  cost: ({ queries }) => ({ forwards: queries + 1, backwards: 0 }),
  run: (context, { queries, area, stretch }) => {
    const moves = squareMoves[context.norm.name as SquareNorm]; // the attack's norms are those
    const shape = context.source.input;
    return walk<SquareState>(context, {
      steps: queries,
      startCost: { forwards: 1, backwards: 0 },
      stepCost: { forwards: 1, backwards: 0 },
      start: async (view) => {
        const points = await proposed(context, view, (place, random) =>
          moves.start(shape, imageAt(view.images, view, place), view.epsilons[place] ?? 0, random(0)),
        );
        const margin = await margins(context, view, points, 0);
        return { state: { points, margin }, fallen: positive(margin) };
      },
      advance: async (view, state, step) => {
        const share = area * shareAt(step - 1, stretch ? queries : SCHEDULED);
        const candidates = await proposed(context, view, (place, random) =>
          moves.step(
            shape,
            imageAt(view.images, view, place),
            imageAt(state.points, view, place),
            view.epsilons[place] ?? 0,
            share,
            random(step),
          ),
        );
        const next = better(state, candidates, await margins(context, view, candidates, step));
        return { state: next, fallen: positive(next.margin) };
      },
    });
  },
});

/** How the squares shrink, made for so many queries and stretched to others (the paper's appendix B). */
const SCHEDULED = 10_000;
const HALVINGS: readonly number[] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

export function shareAt(query: number, queries: number): number {
  const scaled = Math.floor((query / queries) * SCHEDULED);
  return 1 / 2 ** HALVINGS.filter((from) => scaled > from).length;
}

function imageAt(array: NdArray, view: View, place: number): Float32Array {
  const size = sizeOfImage(view);
  return array.data.subarray(place * size, (place + 1) * size) as Float32Array;
}

/** An image for each place, brought into the ball and the box. */
async function proposed(
  context: AttackContext,
  view: View,
  propose: (place: number, random: (step: number) => RandomAddress) => Float32Array,
): Promise<NdArray> {
  const { engine, norm, seed } = context;
  const size = sizeOfImage(view);
  const data = new Float32Array(view.images.data.length);
  view.rows.forEach((_, place) => {
    const sample = view.sampleIndices[place] ?? 0;
    const stream = `square/${view.attempts[place] ?? 0}`;
    data.set(
      propose(place, (step) => ({ seed, stream, step, sample })),
      place * size,
    );
  });
  const points = float32(data, view.images.shape);
  const inputs = { images: view.images, points, epsilon: view.epsilon, ...UNIT_BOX };
  return (await runCompiled(engine, `confine/${norm.name}`, confineOf(norm), inputs)).points;
}

function better(state: SquareState, candidates: NdArray, margin: NdArray): SquareState {
  const rows = margin.data.length;
  const size = candidates.data.length / rows;
  const points = Float32Array.from(state.points.data);
  const best = Float32Array.from(state.margin.data);
  for (let row = 0; row < rows; row++) {
    const found = margin.data[row] ?? Number.NEGATIVE_INFINITY;
    if (!(found > (best[row] ?? 0))) continue; // no number is no improvement
    best[row] = found;
    points.set(candidates.data.subarray(row * size, (row + 1) * size), row * size);
  }
  return { points: float32(points, state.points.shape), margin: float32(best, [rows]) };
}

function positive({ data }: NdArray): number[] {
  return Array.from(data, (value) => Number(value > 0));
}
