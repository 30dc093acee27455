import { mayAsk } from '@jsigr/models';
import type { Cost } from './attack.ts';
import type { Budget, EvaluationOptions } from './evaluation-options.ts';
import type { Ledger, Unit } from './ledger.ts';
import { LEAST_QUESTIONS, passesOf } from './runner.ts';

export type Resolved = EvaluationOptions & { readonly batchSize: number };

/** What a unit of work is told. */
export interface UnitMeans {
  /** Is the budget spent, with these passes of the unit so far? */
  readonly isSpent: (passes: Cost) => boolean;
  /** Says that the unit was not done to its end. */
  readonly onShort: () => void;
}

/** The units of work: those of the ledger first, then new ones until the budget is spent. */
export class Work {
  readonly options: Resolved;
  readonly #head: Omit<Ledger, 'units'>;
  readonly #known: ReadonlyMap<string, Unit>;
  readonly #units: Unit[] = [];
  readonly #budget: Budget;
  /** What the units so far spent. */
  #spent = { forwards: 0, backwards: 0, seconds: 0 };

  constructor(options: Resolved, { units, ...head }: Ledger) {
    this.options = options;
    this.#head = head;
    this.#known = new Map(units.map((unit) => [`${unit.cell} ${unit.block}`, unit]));
    this.#budget = shareOf(options.budget ?? {}, options.shard);
  }

  get ledger(): Ledger {
    return { ...this.#head, units: [...this.#units] };
  }

  /** @returns undefined once the budget is spent. */
  async unit(
    cell: number,
    block: number,
    samples: number,
    make: (means: UnitMeans) => Promise<Unit['rows']>,
  ): Promise<Unit | undefined> {
    const known = this.#known.get(`${cell} ${block}`);
    const unit = known ?? (await this.#made(cell, block, samples, make));
    if (!unit) return undefined;
    this.#units.push(unit);
    const { forwards, backwards } = passesOf(unit.rows);
    this.#spent = {
      forwards: this.#spent.forwards + forwards,
      backwards: this.#spent.backwards + backwards,
      seconds: this.#spent.seconds + unit.seconds,
    };
    if (!known) await this.options.onLedger?.(this.ledger);
    return unit;
  }

  async #made(
    cell: number,
    block: number,
    samples: number,
    make: (means: UnitMeans) => Promise<Unit['rows']>,
  ): Promise<Unit | undefined> {
    const { target, batchSize, reportOnly } = this.options;
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const isSpent = (passes: Cost) => this.#isSpent({ ...passes, seconds: seconds() });
    const least = LEAST_QUESTIONS * Math.min(samples, batchSize);
    if (reportOnly || isSpent({ forwards: 0, backwards: 0 }) || !mayAsk(target, least)) return undefined;
    const end: { short?: true } = {};
    const onShort = () => {
      end.short = true;
    };
    const rows = await make({ isSpent, onShort });
    return { cell, block, rows, seconds: seconds(), ...end };
  }

  #isSpent(more: Required<Budget>): boolean {
    return (['forwards', 'backwards', 'seconds'] as const).some((name) => {
      const most = this.#budget[name];
      return most !== undefined && this.#spent[name] + more[name] >= most;
    });
  }
}

/** Shards spend the passes of a budget between them, and its seconds each, because they work at the same time. */
function shareOf({ forwards, backwards, seconds }: Budget, shard: EvaluationOptions['shard']): Budget {
  const { index, count } = shard ?? { index: 0, count: 1 };
  const share = (passes: number) => Math.floor((passes * (index + 1)) / count) - Math.floor((passes * index) / count);
  return {
    ...(forwards !== undefined && { forwards: share(forwards) }),
    ...(backwards !== undefined && { backwards: share(backwards) }),
    ...(seconds !== undefined && { seconds }),
  };
}
