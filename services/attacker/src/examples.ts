import type { LedgerRow, PlanEntry } from '@jsigr/attacks';
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
  readonly #plan: readonly PlanEntry[];
  readonly #keep: readonly number[];
  readonly #kept = new Map<string, Example>();

  constructor(plan: readonly PlanEntry[], keep: readonly number[]) {
    this.#plan = plan;
    this.#keep = keep;
  }

  /** @param image is copied: the runner uses its memory again. */
  add(row: LedgerRow, image: Float32Array): void {
    const wanted = this.#plan.some((entry, i) => matches(entry, row) && row.sample < (this.#keep[i] ?? 0));
    if (wanted) this.#kept.set(key(row.attack, row.norm, row.epsilon, row.sample), { row, image: image.slice() });
  }

  /** The kept examples as files, for `restore`. */
  save(): Files {
    const examples = [...this.#kept.values()];
    return {
      [ROWS]: Buffer.from(JSON.stringify(examples.map(({ row }) => row))),
      [IMAGES]: writeSafetensors(
        Object.fromEntries(examples.map(({ image }, i) => [String(i), float32(image, [image.length])])),
      ),
    };
  }

  /** Takes the examples of an evaluation that was interrupted. */
  restore({ [ROWS]: rows, [IMAGES]: images }: Files): void {
    if (!rows || !images) return;
    const { tensors } = readSafetensors(images);
    for (const [i, row] of (JSON.parse(Buffer.from(rows).toString()) as LedgerRow[]).entries())
      this.#kept.set(key(row.attack, row.norm, row.epsilon, row.sample), {
        row,
        image: Float32Array.from(tensors[String(i)]?.data ?? []),
      });
  }

  /** In the order of the plan, its epsilons ascending, the samples in their order. */
  all(): Example[] {
    return this.#plan
      .flatMap((entry, i) => {
        const epsilons = [...new Set(entry.epsilons)].sort((a, b) => a - b);
        return epsilons.flatMap((epsilon, at) =>
          Array.from({ length: this.#keep[i] ?? 0 }, (_, sample) =>
            this.#at(entry, epsilons.slice(0, at + 1), sample, epsilon),
          ),
        );
      })
      .filter((each) => each !== undefined);
  }

  #at({ attack, norm }: PlanEntry, upTo: readonly number[], sample: number, epsilon: number): Example | undefined {
    const tried = [...upTo].reverse().map((each) => this.#kept.get(key(attack, norm, each, sample)));
    const example = tried.find((each) => each !== undefined);
    return example && { image: example.image, row: { ...example.row, epsilon } };
  }
}

function matches({ attack, norm, epsilons }: PlanEntry, row: LedgerRow): boolean {
  return attack === row.attack && norm === row.norm && epsilons.includes(row.epsilon);
}

function key(attack: string, norm: string, epsilon: number, sample: number): string {
  return `${attack} ${norm} ${epsilon} ${sample}`;
}
