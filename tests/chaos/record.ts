import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { processorName } from '../../bench/peers/machine.ts';
import { inWords, totals } from './counts.ts';
import type { SeedResult } from './seed.ts';

/** A seed's result, and what it was a result of. */
export interface Row extends SeedResult {
  readonly commit: string;
  readonly machine: string;
  /** Of disasters. */
  readonly disasterSeconds: number;
  /** Of workers. */
  readonly leaseSeconds: number;
}

/** The rows of a campaign, on disk after each seed: one that is interrupted goes on where it was. */
export class Campaign {
  readonly #path: string;
  readonly rows: Row[];

  /** @param path of the JSON file; a page of the same name in Markdown lies beside it */
  constructor(path: string) {
    this.#path = path;
    this.rows = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Row[]) : [];
  }

  has(seed: number): boolean {
    return this.rows.some((row) => row.seed === seed);
  }

  add(row: Row): void {
    this.rows.push(row);
    this.rows.sort((a, b) => a.seed - b.seed);
    write(this.#path, `[\n${this.rows.map((each) => JSON.stringify(each)).join(',\n')}\n]\n`);
    write(this.#path.replace(/\.json$/, '.md'), page(this.rows));
  }
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

/** Of the working tree, with `-dirty` where it has changes. */
export function commitOf(folder: string): string {
  const git = (...words: string[]) => execFileSync('git', words, { cwd: folder, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', ':!docs/results');
  return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? '-dirty' : ''}`;
}

export function machineName(): string {
  return `${processorName()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}

/** The results as a page for people. */
export function page(rows: readonly Row[]): string {
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0);
  const bad = rows.filter(({ violations }) => violations.length > 0);
  const share = (key: (row: Row) => string) =>
    Object.entries(totals(rows.map((row) => ({ [key(row)]: 1 }))))
      .map(([name, count]) => `${count} x ${name}`)
      .join(', ');
  return [
    '# Chaos',
    '',
    'Written by `npm run chaos -- --seeds ...` from `chaos.json`, which has one line for each seed. What a seed is: [tests/chaos](../../tests/chaos/README.md).',
    '',
    `**${sum(({ violations }) => violations.length)} violations in ${rows.length} seeds** (${ranges(rows.map(({ seed }) => seed))}).`,
    '',
    '| | |',
    '| --- | --- |',
    `| time | ${Math.round(sum(({ seconds }) => seconds) / 60)} minutes in all, of each seed ${[...new Set(rows.map(({ disasterSeconds }) => disasterSeconds))].join(' or ')} s of disasters; leases of ${[...new Set(rows.map(({ leaseSeconds }) => leaseSeconds))].join(' or ')} s |`,
    `| database | ${share(({ database }) => database)} |`,
    `| what limits the artefact store | ${share(({ disk }) => disk)} |`,
    `| runs, beside the undisturbed ones | ${inWords(totals(rows.map(({ runs }) => runs)))} |`,
    `| events of these runs | ${sum(({ events }) => events)} |`,
    `| workers that came or went | ${sum(({ workers }) => workers)} |`,
    `| explanations | ${sum(({ explanations }) => explanations)} |`,
    `| lists by pages, requests made again | ${sum(({ walks }) => walks)}, ${sum(({ resent }) => resent)} |`,
    `| commit | ${share(({ commit }) => commit)} |`,
    `| machine | ${share(({ machine }) => machine)} |`,
    '',
    '| disaster that struck | times |',
    '| --- | --- |',
    ...Object.entries(totals(rows.map(({ disasters }) => disasters)))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kind, count]) => `| ${kind} | ${count} |`),
    '',
    ...(bad.length === 0
      ? []
      : [
          '## Violations',
          '',
          ...bad.flatMap(({ seed, violations }) => violations.map((violation) => `- seed ${seed}: ${violation}`)),
          '',
        ]),
  ].join('\n');
}

/** 1, 2, 3, 7 as `1..3, 7`. @param numbers ascending */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}..${to}`)).join(', ');
}
