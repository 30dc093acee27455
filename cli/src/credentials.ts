import { chmod, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { failedPrecondition, invalidArgument } from '@jsigr/service/client';
import type { GlobalOptions } from './context.ts';
import type { Terminal } from './terminal/terminal.ts';

/** Tokens by gateway (host:port), in a file that only its owner may read. */
type Credentials = Readonly<Record<string, string>>;

const OTHERS = 0o077;

/** `$XDG_CONFIG_HOME/jsigr/credentials.json`, by default `~/.config/jsigr/credentials.json`. */
export function credentialsFile({ env }: Terminal): string {
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'jsigr', 'credentials.json');
}

/** The token for a gateway: `--token`, else JSIGR_TOKEN, else what `jsigr login` kept. @throws JsigrError */
export async function tokenFor(
  server: string,
  { token }: GlobalOptions,
  terminal: Terminal,
): Promise<string | undefined> {
  const given = token ?? (terminal.env.JSIGR_TOKEN || undefined);
  return given === undefined ? (await read(credentialsFile(terminal)))[server] : checkToken(given);
}

/** @throws JsigrError INVALID_ARGUMENT without saying the token, which is a secret even if it is a wrong one */
export function checkToken(token: string): string {
  if (/^[\x21-\x7e]{1,16384}$/.test(token)) return token;
  throw invalidArgument('token', `${token.length} characters given; a token is one word of printable characters`);
}

/** Keeps a token for a gateway. @returns the file */
export async function keepToken(server: string, token: string, terminal: Terminal): Promise<string> {
  const file = credentialsFile(terminal);
  const kept = { ...(await read(file)), [server]: checkToken(token) };
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const partial = `${file}.${process.pid}`;
  await writeFile(partial, `${JSON.stringify(kept, undefined, 2)}\n`, { mode: 0o600 });
  await chmod(partial, 0o600);
  await rename(partial, file);
  return file;
}

async function read(file: string): Promise<Credentials> {
  const found = await stat(file).catch(() => undefined);
  if (!found) return {};
  if ((found.mode & OTHERS) !== 0)
    throw failedPrecondition(
      'CREDENTIALS_OPEN',
      `${file} may be read by others (mode ${(found.mode & 0o777).toString(8)}): its tokens are not used`,
      `chmod 600 ${file}`,
    );
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Credentials;
  } catch {
    throw failedPrecondition(
      'CREDENTIALS_DAMAGED',
      `${file} is no JSON`,
      'remove it, and sign in again with `jsigr login`',
    );
  }
}
