import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, BenchDevice, Tool } from './cases.ts';

/** What a result was made with: one that was made otherwise is made again. */
export interface ResultSetup {
  readonly model: string;
  /** Of the weights. */
  readonly digest: string;
  readonly attack: string;
  readonly tool: Tool;
  readonly epsilon: number;
  readonly samples: number;
  readonly batchSize: number;
  readonly threads: number;
  readonly device: BenchDevice;
  /** Of the random draws, where it is another one than that of the page, `PAGE_SEED`. */
  readonly seed?: number;
}

export const PAGE_SEED = 1;

/** One attack on one model by one tool, as it is kept. */
export interface Result extends ResultSetup, Omit<Answer, 'processorSeconds'> {
  readonly processor: string;
  /** Cores that other processes kept busy meanwhile. */
  readonly otherCores: number;
  /** Test images that the model classifies correctly: those that were attacked. */
  readonly correct: readonly number[];
  /** Those that were broken: our model is wrong on the tool's image, which lies in the ball and the box. */
  readonly broken: readonly number[];
  /** Images on which the model is wrong, but which lie outside the ball or the box. */
  readonly outside: readonly number[];
}

const fileOf = ({ model, digest, epsilon, attack, samples, tool, device, seed }: ResultSetup) =>
  `${model}.${digest.slice(0, 6)}.${epsilon.toFixed(4)}.${attack}.${samples}.${tool}.${device}${seed === undefined ? '' : `.seed-${seed}`}.json`;

/** @returns undefined if the folder of results has none that was made with this. */
export function findResult(results: string, setup: ResultSetup): Result | undefined {
  const file = join(results, fileOf(setup));
  if (!existsSync(file)) return undefined;
  const found = JSON.parse(readFileSync(file, 'utf8')) as Result;
  const same = (Object.keys(setup) as (keyof ResultSetup)[]).every((name) => found[name] === setup[name]);
  return same ? found : undefined;
}

export function keepResult(results: string, result: Result): void {
  mkdirSync(results, { recursive: true });
  const file = join(results, fileOf(result));
  writeFileSync(`${file}.tmp`, `${JSON.stringify(result)}\n`);
  renameSync(`${file}.tmp`, file);
}

export function readResults(results: string): Result[] {
  if (!existsSync(results)) return [];
  return readdirSync(results)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(results, name), 'utf8')) as Result);
}
