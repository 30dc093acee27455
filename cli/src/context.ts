import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Gateways } from './gateways.ts';
import type { Terminal } from './terminal/terminal.ts';

/** What every command group is given. */
export interface Context {
  readonly terminal: Terminal;
  readonly gateways: Gateways;
}

/** Makes one command (with its subcommands); all groups are in the table of `program.ts`. */
export type CommandGroup = (context: Context) => Command;

/** Options that every command takes. */
export interface GlobalOptions {
  readonly server?: string;
  readonly dataDir?: string;
  readonly output: 'text' | 'json';
}

/** The folder that runs, models and datasets are kept in: `--data-dir`, else JSIGR_DATA, else `.jsigr` here. */
export function dataDirectory({ dataDir }: GlobalOptions, { env, directory }: Terminal): string {
  return resolve(directory, dataDir ?? (env.JSIGR_DATA || '.jsigr'));
}

/** A path of the command line. */
export function pathOf(file: string, { directory }: Terminal): string {
  return resolve(directory, file);
}

/** Examples below the help of a command. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`.trimEnd();
}
