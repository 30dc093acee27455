import { permutation } from '@jsigr/engine';
import type { Split } from './dataset.ts';
import { checkedInteger, DatasetError } from './errors.ts';

/** Indices into a split, ascending; together all of it. */
export interface HeldOut {
  readonly train: Uint32Array;
  /** What every choice (settings, best checkpoint, early stop) is made on, so that the test set decides nothing. */
  readonly held: Uint32Array;
}

/**
 * Sets a part of the training set aside, stratified: of each class with n samples round(fraction * n), and at least one where the class has two. Which
 * ones depends on the labels and the seed alone.
 * @param fraction 0..0.5
 * @param seed 0..2^32-1
 * @throws DatasetError INVALID_OPTION
 */
export function holdOut({ labels }: Pick<Split, 'labels'>, fraction = 0.1, seed = 0): HeldOut {
  if (!(fraction >= 0 && fraction <= 0.5))
    throw new DatasetError('INVALID_OPTION', 'fraction', `must be from 0 to 0.5, not ${fraction}`);
  checkedInteger('seed', seed, 0, 4294967295);
  const byClass = new Map<number, number[]>();
  labels.forEach((label, index) => {
    const members = byClass.get(label);
    if (members) members.push(index);
    else byClass.set(label, [index]);
  });
  const isHeld = new Uint8Array(labels.length);
  for (const [label, members] of byClass) {
    const order = permutation({ seed, stream: 'datasets.hold-out', sample: label }, members.length);
    for (const position of order.subarray(0, share(members.length, fraction))) isHeld[members[position] ?? 0] = 1;
  }
  const indices = Uint32Array.from(labels, (_, index) => index);
  return {
    train: indices.filter((index) => isHeld[index] === 0),
    held: indices.filter((index) => isHeld[index] === 1),
  };
}

function share(count: number, fraction: number): number {
  const atLeast = fraction > 0 && count > 1 ? 1 : 0;
  return Math.max(atLeast, Math.round(fraction * count));
}
