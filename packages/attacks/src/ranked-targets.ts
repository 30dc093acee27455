import type { NdArray } from '@jsigr/engine';
import type { AttackContext } from './attack.ts';
import { classes } from './compiled.ts';
import { logitsOfRows } from './queries.ts';
import type { View } from './rows.ts';

/** How many classes other than the label there are to try, `wanted` at most. */
export function targetCount(wanted: number, total: number): number {
  return Math.min(wanted, total - 1);
}

/**
 * The class that each row steers towards: its attempts go through the other classes, the likeliest of the clean image first, and then again from the
 * start. Costs one forward pass a row.
 */
export async function rankedTargets(context: AttackContext, count: number): Promise<(view: View) => NdArray> {
  const logits = await logitsOfRows(context, context.images);
  const targets = context.attempts.map((attempt, row) => {
    const label = context.labels.data[row];
    const order = [...(logits[row] ?? []).keys()]
      .filter((index) => index !== label)
      .sort((a, b) => (logits[row]?.[b] ?? 0) - (logits[row]?.[a] ?? 0) || a - b);
    return order[attempt % count] ?? 0;
  });
  return (view) => classes(view.rows.map((row) => targets[row] ?? 0));
}
