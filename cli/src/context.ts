import { resolve } from 'node:path';
import { type ComputeOptions, invalidArgument, type TlsFiles } from '@jsigr/service/client';
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
export interface GlobalOptions extends Pick<ComputeOptions, 'engine' | 'device'> {
  readonly server?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly dataDir?: string;
  readonly token?: string;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly output: 'table' | 'json';
}

/** The folder that runs, models and datasets are kept in: `--data-dir`, else JSIGR_DATA, else `.jsigr` here. */
export function dataDirectory({ dataDir }: GlobalOptions, { env, directory }: Terminal): string {
  return resolve(directory, dataDir ?? (env.JSIGR_DATA || '.jsigr'));
}

/** What a gateway of one's own computes with: `--engine` and `--device`, else JSIGR_ENGINE and JSIGR_DEVICE, else its own choice. */
export function computeOf(
  { engine, device }: GlobalOptions,
  { env }: Terminal,
): Pick<ComputeOptions, 'engine' | 'device'> {
  // what the variables say is checked by the gateway, as for one that stands alone
  const { JSIGR_ENGINE, JSIGR_DEVICE } = env as {
    JSIGR_ENGINE?: ComputeOptions['engine'];
    JSIGR_DEVICE?: ComputeOptions['device'];
  };
  const [first, second] = [engine ?? (JSIGR_ENGINE || undefined), device ?? (JSIGR_DEVICE || undefined)];
  return { ...(first && { engine: first }), ...(second && { device: second }) };
}

/** @throws JsigrError INVALID_ARGUMENT if the command line says what a gateway that runs already should compute with. */
export function refuseCompute({ engine, device }: GlobalOptions, address: string): void {
  if (engine ?? device)
    throw invalidArgument(
      engine ? '--engine' : '--device',
      `the gateway at ${address} runs already, and its workers compute with what it was started with; start it anew with \`jsigr up\` and this option`,
    );
}

/** A path of the command line. */
export function pathOf(file: string, { directory }: Terminal): string {
  return resolve(directory, file);
}

/** Certificates: of the options, else of the variables JSIGR_TLS_*; undefined where nothing is to be encrypted. */
export function tlsOf(options: GlobalOptions, terminal: Terminal): TlsFiles | undefined {
  const { env } = terminal;
  const file = (given: string | undefined, variable: string) =>
    given === undefined ? env[variable] || undefined : pathOf(given, terminal);
  const found = {
    ca: file(options.tlsCa, 'JSIGR_TLS_CA'),
    certificate: file(options.tlsCertificate, 'JSIGR_TLS_CERTIFICATE'),
    key: file(options.tlsKey, 'JSIGR_TLS_KEY'),
    serverName: options.tlsServerName ?? (env.JSIGR_TLS_SERVER_NAME || undefined),
  };
  const named = Object.entries(found).filter(([, value]) => value !== undefined);
  return named.length > 0 || options.tls ? Object.fromEntries(named) : undefined;
}

/** Examples below the help of a command. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`.trimEnd();
}
