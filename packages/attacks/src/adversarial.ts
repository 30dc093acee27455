import type { Split } from '@jsigr/datasets';
import { type Engine, float32, int32, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { type Classifier, type ImageShape, mayAsk } from '@jsigr/models';
import { z } from 'zod';
import { toBytes } from './bytes.ts';
import { chosenSettings } from './chosen-settings.ts';
import { AttackError } from './errors.ts';
import { classify } from './judge.ts';
import { type NormName, normNamed } from './norms.ts';
import { attackNamed } from './registry.ts';
import type { LedgerRow } from './runner.ts';

/** An adversarial image that was kept, and what became of it when it was rounded to 8 bits, as it would be stored and sent. */
export interface KeptAdversarial {
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
  /** What tells the attack from the same one set otherwise (`chosenSettings`). */
  readonly settings: Readonly<Record<string, string>>;
  /** Index in the split. */
  readonly sample: number;
  readonly label: number;
  /** What the target says of the image, and of the rounded one: another class than the label if it is fooled still. */
  readonly predicted: number;
  readonly predictedRounded: number;
  /** Length of the perturbation in the norm. */
  readonly distance: number;
  /** `[height, width, channels]`: the image before, and the rounded one, which lies in the ball too; 0..255. */
  readonly original: Uint8Array;
  readonly rounded: Uint8Array;
  /** `[height, width, channels]`, as the attack left it, in [0,1]. */
  readonly image: Float32Array;
}

interface Kept {
  readonly row: LedgerRow;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly image: Float32Array;
}

/** Gathers adversarial images while an evaluation makes them: for each norm those that lie nearest to their originals, so many at most. */
export class AdversarialKeeper {
  readonly #most: number;
  readonly #kept = new Map<NormName, Kept[]>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Attempts that failed are passed over. @param image is copied: the runner uses its memory again. */
  add(row: LedgerRow, image: Float32Array, settings: Readonly<Record<string, unknown>>): void {
    if (!row.success || this.#most === 0) return;
    const kept = this.#kept.get(row.norm) ?? [];
    const last = kept.at(-1);
    if (kept.length === this.#most && last && !isNearer(row, last.row)) return;
    kept.splice(placeOf(row, kept), 0, { row, settings, image: image.slice() });
    if (kept.length > this.#most) kept.pop();
    this.#kept.set(row.norm, kept);
  }

  /**
   * The nearest first, norm by norm; each rounded to 8 bits and shown to the target again, which costs a forward pass each. None, where the target's
   * budget does not allow that any more.
   */
  async rounded(
    engine: Engine,
    target: Classifier,
    split: Split,
    options: { readonly batchSize: number; readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<KeptAdversarial[]> {
    const kept = [...this.#kept.values()].flat();
    const all = mayAsk(target, kept.length) ? kept : [];
    const size = target.input.reduce((product, side) => product * side, 1);
    const found = all.map(({ row, settings, image }) => {
      const original = split.images.slice(row.sample * size, (row.sample + 1) * size);
      return { row, settings, image, original, rounded: toBytes(original, image, normNamed(row.norm), row.epsilon) };
    });
    const pictures = new Uint8Array(all.length * size);
    found.forEach(({ rounded }, i) => {
      pictures.set(rounded, i * size);
    });
    const labels = Uint8Array.from(found, ({ row }) => row.labelBefore);
    const again = { count: all.length, images: pictures, labels };
    const predictions = await classify(engine, target, again, [...labels.keys()], options);
    return found.map(({ row, settings, ...images }, i) => ({
      attack: row.attack,
      norm: row.norm,
      epsilon: row.epsilon,
      settings: chosenSettings(attackNamed(row.attack), settings),
      sample: row.sample,
      label: row.labelBefore,
      predicted: row.labelAfter,
      predictedRounded: predictions[i] ?? row.labelBefore,
      distance: row.distance,
      ...images,
    }));
  }
}

/** Equal distances: the earlier sample, so that the order never depends on the batches. */
function isNearer(a: LedgerRow, b: LedgerRow): boolean {
  return a.distance < b.distance || (a.distance === b.distance && a.sample < b.sample);
}

function placeOf(row: LedgerRow, kept: readonly Kept[]): number {
  let [from, to] = [0, kept.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const other = kept[middle];
    if (other && isNearer(row, other.row)) to = middle;
    else from = middle + 1;
  }
  return from;
}

const INTEGERS = ['sample', 'label', 'predicted', 'predictedRounded'] as const;
const cellsSchema = z.array(
  z.object({
    attack: z.string(),
    norm: z.enum(['linf', 'l2', 'l1']),
    epsilon: z.number(),
    /** Files of before do not say them. */
    settings: z.record(z.string(), z.string()).default({}),
  }),
);

/**
 * One safetensors file: `image` float32 and `original` and `rounded` uint8 `[count, height, width, channels]`; `sample`, `label`, `predicted`,
 * `predictedRounded` and `cell` int32 `[count]`, `distance` float32 `[count]`. Its metadata `cells` says, as JSON, which attack, norm, epsilon and
 * settings (those that tell it apart) a cell is.
 */
export function encodeAdversarial(all: readonly KeptAdversarial[], input: ImageShape): Uint8Array {
  const keys = all.map(({ attack, norm, epsilon, settings }) => JSON.stringify({ attack, norm, epsilon, settings }));
  const cells = [...new Set(keys)];
  const shape = [all.length, ...input];
  const size = input[0] * input[1] * input[2];
  const bytes = (name: 'original' | 'rounded') => {
    const data = new Uint8Array(all.length * size);
    for (const [i, each] of all.entries()) data.set(each[name], i * size);
    return { dtype: 'uint8' as const, shape, data };
  };
  const images = new Float32Array(all.length * size);
  for (const [i, { image }] of all.entries()) images.set(image, i * size);
  const count = [all.length];
  return writeSafetensors(
    {
      image: float32(images, shape),
      original: bytes('original'),
      rounded: bytes('rounded'),
      ...Object.fromEntries(
        INTEGERS.map((name) => [
          name,
          int32(
            all.map((each) => each[name]),
            count,
          ),
        ]),
      ),
      cell: int32(
        keys.map((key) => cells.indexOf(key)),
        count,
      ),
      distance: float32(
        all.map(({ distance }) => distance),
        count,
      ),
    },
    { cells: `[${cells.join(',')}]` },
  );
}

/** @throws AttackError LEDGER_DAMAGED, EngineError MALFORMED_FILE */
export function decodeAdversarial(file: Uint8Array): { readonly input: ImageShape; readonly all: KeptAdversarial[] } {
  const { tensors, metadata } = readSafetensors(file);
  const cells = cellsSchema.parse(JSON.parse(metadata.cells ?? '[]'));
  const tensor = (name: string) => {
    const found = tensors[name];
    if (!found) throw new AttackError('LEDGER_DAMAGED', name, 'is missing among the adversarial images');
    return found;
  };
  const [count = 0, height = 0, width = 0, channels = 0] = tensor('image').shape;
  const size = height * width * channels;
  const rows = <T extends Uint8Array | Float32Array>(name: string, i: number) =>
    tensor(name).data.slice(i * size, (i + 1) * size) as unknown as T;
  const all = Array.from({ length: count }, (_, i): KeptAdversarial => {
    const cell = cells[tensor('cell').data[i] ?? -1];
    if (!cell) throw new AttackError('LEDGER_DAMAGED', 'cell', 'names no attack');
    const [sample = 0, label = 0, predicted = 0, predictedRounded = 0] = INTEGERS.map((name) => tensor(name).data[i]);
    return {
      ...cell,
      ...{ sample, label, predicted, predictedRounded },
      distance: tensor('distance').data[i] ?? 0,
      original: rows('original', i),
      rounded: rows('rounded', i),
      image: rows('image', i),
    };
  });
  return { input: [height, width, channels], all };
}
