import { float32, int32, readSafetensors, type StoredTensor, writeSafetensors } from '@jsigr/engine';
import { z } from 'zod';
import { AttackError } from './errors.ts';
import type { NormName } from './norms.ts';
import type { LedgerRow } from './runner.ts';

/** One attack at one epsilon. */
export interface Cell {
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
}

/** What an evaluation does at once and then writes down: one cell on the samples of one block. */
export interface Unit {
  /** Index in `cells`. */
  readonly cell: number;
  /** Which batch of the samples, from 0. */
  readonly block: number;
  readonly seconds: number;
  readonly rows: readonly LedgerRow[];
  /** A budget ended it: samples that still stand were not attacked to the end. */
  readonly short?: boolean;
}

/** Everything that an evaluation found out so far. With it an evaluation that was interrupted goes on where it stopped. */
export interface Ledger {
  /** What was evaluated, as text: only an evaluation of the same goes on. */
  readonly fingerprint: string;
  readonly seed: number;
  readonly cells: readonly Cell[];
  /** Class that the target gives to each clean sample, for as many blocks as were classified. */
  readonly clean: readonly { readonly sample: number; readonly prediction: number; readonly label: number }[];
  readonly units: readonly Unit[];
}

/** The files of a ledger: the manifest says what the rows of the tensors are. Equal evaluations give equal bytes, but for the seconds. */
export type LedgerFiles = Readonly<Record<'manifest.json' | 'ledger.safetensors' | 'seconds.json', Uint8Array>>;

const VERSION = 1;

const manifestSchema = z.object({
  version: z.literal(VERSION),
  fingerprint: z.string(),
  seed: z.number().int(),
  cells: z.array(z.object({ attack: z.string(), norm: z.enum(['linf', 'l2', 'l1']), epsilon: z.number() })),
  units: z.array(
    z.object({
      cell: z.number().int().min(0),
      block: z.number().int().min(0),
      /** Where the unit's rows lie in the tensors. */
      rows: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
      short: z.literal(true).optional(),
    }),
  ),
});

const INTEGERS = ['sample', 'attempt', 'forwards', 'backwards', 'labelBefore', 'labelAfter'] as const;
const REALS = ['loss', 'distance'] as const;
const CLEAN = ['sample', 'prediction', 'label'] as const;

export function encodeLedger({ units, clean, ...head }: Ledger): LedgerFiles {
  const rows = units.flatMap((unit) => unit.rows);
  let at = 0;
  const manifest = {
    version: VERSION,
    ...head,
    units: units.map(({ cell, block, rows: own, short }) => {
      const from = at;
      at += own.length;
      return { cell, block, rows: [from, at], ...(short && { short }) };
    }),
  };
  const column = (values: readonly number[]): StoredTensor => int32([...values], [values.length]);
  const tensors = Object.fromEntries([
    ...INTEGERS.map((name) => [name, column(rows.map((row) => row[name]))] as const),
    ...REALS.map(
      (name) =>
        [
          name,
          float32(
            rows.map((row) => row[name]),
            [rows.length],
          ),
        ] as const,
    ),
    ...CLEAN.map((name) => [`clean.${name}`, column(clean.map((row) => row[name]))] as const),
  ]);
  return {
    'manifest.json': asJson(manifest),
    'seconds.json': asJson(units.map((unit) => unit.seconds)),
    'ledger.safetensors': writeSafetensors(tensors),
  };
}

/** `seconds.json` may be missing: the units then took no time. @throws AttackError LEDGER_DAMAGED, EngineError MALFORMED_FILE */
export function decodeLedger(files: Readonly<Record<string, Uint8Array>>): Ledger {
  const manifest = parsed('manifest.json', manifestSchema, files['manifest.json']);
  const seconds = files['seconds.json'] ? parsed('seconds.json', z.array(z.number()), files['seconds.json']) : [];
  const bytes = files['ledger.safetensors'];
  if (!bytes) throw damaged('ledger.safetensors', 'is missing');
  const { tensors } = readSafetensors(bytes);
  const column = (name: string): ArrayLike<number> => {
    const tensor = tensors[name];
    if (!tensor) throw damaged(name, 'is missing in ledger.safetensors');
    return tensor.data;
  };
  const integers = new Map(INTEGERS.map((name) => [name, column(name)]));
  const reals = new Map(REALS.map((name) => [name, column(name)]));
  const clean = new Map(CLEAN.map((name) => [name, column(`clean.${name}`)]));
  const integer = (name: (typeof INTEGERS)[number], row: number) => integers.get(name)?.[row] ?? 0;
  const real = (name: (typeof REALS)[number], row: number) => reals.get(name)?.[row] ?? 0;
  return {
    fingerprint: manifest.fingerprint,
    seed: manifest.seed,
    cells: manifest.cells,
    clean: Array.from({ length: clean.get('sample')?.length ?? 0 }, (_, row) => ({
      sample: clean.get('sample')?.[row] ?? 0,
      prediction: clean.get('prediction')?.[row] ?? 0,
      label: clean.get('label')?.[row] ?? 0,
    })),
    units: manifest.units.map(({ rows: [from, to], short, ...unit }, i) => {
      const cell = manifest.cells[unit.cell];
      if (!cell || to < from || to > column('sample').length) throw damaged(`units[${i}]`, 'points outside the ledger');
      const rows = Array.from({ length: to - from }, (_, j): LedgerRow => {
        const row = from + j;
        const [labelBefore, labelAfter] = [integer('labelBefore', row), integer('labelAfter', row)];
        return {
          sample: integer('sample', row),
          ...cell,
          seed: manifest.seed,
          attempt: integer('attempt', row),
          forwards: integer('forwards', row),
          backwards: integer('backwards', row),
          loss: real('loss', row),
          distance: real('distance', row),
          labelBefore,
          labelAfter,
          success: labelBefore !== labelAfter,
        };
      });
      return { ...unit, ...(short && { short }), seconds: seconds[i] ?? 0, rows };
    }),
  };
}

/** What the shards of an evaluation found out, together. @throws AttackError LEDGER_MISMATCH for ledgers of different evaluations */
export function mergeLedgers(ledgers: readonly Ledger[]): Ledger {
  const [first] = ledgers;
  if (!first) throw new AttackError('LEDGER_MISMATCH', 'ledgers', 'there is none');
  if (ledgers.some(({ fingerprint }) => fingerprint !== first.fingerprint))
    throw new AttackError(
      'LEDGER_MISMATCH',
      'ledgers',
      'they are those of different models, datasets, plans, losses, seeds or engines',
    );
  const units = ledgers.flatMap((ledger) => ledger.units).sort((a, b) => a.cell - b.cell || a.block - b.block);
  return { ...first, units };
}

function asJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, undefined, 1)}\n`);
}

function parsed<T>(file: string, schema: z.ZodType<T>, bytes: Uint8Array | undefined): T {
  if (!bytes) throw damaged(file, 'is missing');
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new AttackError('LEDGER_DAMAGED', file, 'is not that of a ledger', { cause });
  }
}

function damaged(field: string, message: string): AttackError {
  return new AttackError('LEDGER_DAMAGED', field, message);
}
