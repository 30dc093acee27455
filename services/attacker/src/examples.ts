import { attackNamed, chosenSettings, type LedgerRow, type PlanEntry } from '@jsigr/attacks';
import { float32, readSafetensors, writeSafetensors } from '@jsigr/engine';
import type { Files } from '@jsigr/service/compute';
import type { Example } from './methods.ts';

const ROWS = 'examples.json';
const IMAGES = 'examples.safetensors';

/**
 * Keeps the perturbed images of the first few samples at each epsilon. Of several attempts the one that succeeded counts, else the last. A sample that
 * a smaller epsilon turned is not attacked again at a larger one: that example lies in the larger ball too and stands for it.
 */
export class ExampleKeeper {
  readonly #plan: readonly Wanted[];
  readonly #kept = new Map<string, Example>();

  /** @throws AttackError UNKNOWN_ATTACK, INVALID_SETTING */
  constructor(plan: readonly PlanEntry[], keep: readonly number[]) {
    this.#plan = plan.flatMap((entry, i) => {
      const count = keep[i] ?? 0;
      if (count === 0) return [];
      const attack = attackNamed(entry.attack, `plan[${i}].attack`);
      const settings = chosenSettings(attack, attack.parse(entry.settings, `plan[${i}].settings`));
      return [{ ...entry, settings, count }];
    });
  }

  /**
   * @param image is copied: the runner uses its memory again.
   * @param settings of the attack, by which it is told from the same one set otherwise
   */
  add(row: LedgerRow, image: Float32Array, settings: PlanEntry['settings']): void {
    const near = this.#plan.filter((entry) => matches(entry, row));
    if (near.length === 0) return;
    const example = { row, image, settings: chosenSettings(attackNamed(row.attack), settings) };
    const wanted = near.some((entry) => sameSettings(entry, example));
    if (wanted) this.#kept.set(keyOf(example), { ...example, image: image.slice() });
  }

  /** The kept examples as files, for `restore`. */
  save(): Files {
    const examples = [...this.#kept.values()];
    return {
      [ROWS]: Buffer.from(JSON.stringify(examples.map(({ row, settings }) => ({ row, settings })))),
      [IMAGES]: writeSafetensors(
        Object.fromEntries(examples.map(({ image }, i) => [String(i), float32(image, [image.length])])),
      ),
    };
  }

  /** Takes the examples of an evaluation that was interrupted. */
  restore({ [ROWS]: rows, [IMAGES]: images }: Files): void {
    if (!rows || !images) return;
    const { tensors } = readSafetensors(images);
    for (const [i, kept] of (JSON.parse(Buffer.from(rows).toString()) as Omit<Example, 'image'>[]).entries())
      this.#kept.set(keyOf(kept), { ...kept, image: Float32Array.from(tensors[String(i)]?.data ?? []) });
  }

  /** In the order of the plan, its epsilons ascending, the samples in their order. */
  all(): Example[] {
    return this.#plan
      .flatMap((entry) => {
        const epsilons = [...new Set(entry.epsilons)].sort((a, b) => a - b);
        return epsilons.flatMap((epsilon, at) =>
          Array.from({ length: entry.count }, (_, sample) =>
            this.#at(entry, epsilons.slice(0, at + 1), sample, epsilon),
          ),
        );
      })
      .filter((each) => each !== undefined);
  }

  #at(
    { attack, norm, settings }: Wanted,
    upTo: readonly number[],
    sample: number,
    epsilon: number,
  ): Example | undefined {
    const tried = [...upTo]
      .reverse()
      .map((each) => this.#kept.get(keyOf({ row: { attack, norm, epsilon: each, sample }, settings })));
    const example = tried.find((each) => each !== undefined);
    return example && { ...example, row: { ...example.row, epsilon } };
  }
}

/** What is wanted of one attack of the plan. */
interface Wanted extends Omit<PlanEntry, 'settings'> {
  readonly settings: Readonly<Record<string, string>>;
  /** The first so many samples. */
  readonly count: number;
}

function matches({ attack, norm, epsilons, count }: Wanted, row: LedgerRow): boolean {
  return attack === row.attack && norm === row.norm && epsilons.includes(row.epsilon) && row.sample < count;
}

function sameSettings({ settings }: Wanted, example: Pick<Example, 'settings'>): boolean {
  return JSON.stringify(settings) === JSON.stringify(example.settings);
}

function keyOf({
  row,
  settings,
}: {
  readonly row: Pick<LedgerRow, 'attack' | 'norm' | 'epsilon' | 'sample'>;
  readonly settings: Readonly<Record<string, string>>;
}): string {
  return `${row.attack} ${row.norm} ${JSON.stringify(settings)} ${row.epsilon} ${row.sample}`;
}
