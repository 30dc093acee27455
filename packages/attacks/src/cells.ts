import type { Unit } from './ledger.ts';
import type { PlannedAttack } from './plan.ts';

/** One attack at one epsilon: the unit of the plan. */
export interface PlannedCell {
  readonly planned: PlannedAttack;
  readonly epsilon: number;
}

/** What became of a cell. */
export interface CellResult extends PlannedCell {
  readonly units: readonly Unit[];
  /** Samples that it met or would have met. */
  readonly faced: number;
  /** Those of them that a budget did not reach. */
  readonly unattempted: number;
  /** Those that still stand where a budget ended the attack before all its steps and attempts. */
  readonly cutShort: number;
  /** Samples misclassified by this attack at this epsilon or a smaller one. */
  readonly fooled: ReadonlySet<number>;
  /** Those, and in a cascade all that fell to the attacks before it. */
  readonly fallen: ReadonlySet<number>;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
