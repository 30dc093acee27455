import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '@jsigr/service/testing';

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';

/** A PostgreSQL server of the tests' own: on loopback, in a temporary folder. */
export interface PostgresServer {
  /** Of a new, empty database; or of one with what `like`, which nobody may be using, holds. */
  newDatabase(like?: string): Promise<string>;
  /** Ends it at once, as a power cut does; `start` goes on with the same data at the same address. */
  kill(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Folder of the server's programs (Debian: package postgresql), or undefined where there is none. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(DEBIAN, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

/** @param isDurable with the server's own settings; else it does not wait for the disk, as tests need not */
export async function startPostgres({ isDurable = false } = {}): Promise<PostgresServer> {
  const programs = postgresPrograms();
  if (!programs) throw new Error('PostgreSQL is not installed (Debian: apt-get install postgresql)');
  const user = unprivileged();
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-postgres-'));
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid ?? user.uid);
  const data = join(folder, 'data');
  await run(join(programs, 'initdb'), ['-D', data, '-U', 'jsigr', '-A', 'trust', '-E', 'UTF8', '--no-sync'], {
    ...user,
    cwd: folder,
  });
  const port = await freePort();
  let server: ChildProcess | undefined;
  let databases = 0;
  const psql = (statement: string) =>
    run(join(programs, 'psql'), [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      'jsigr',
      '-d',
      'postgres',
      '-c',
      statement,
    ]);
  const end = async (signal: NodeJS.Signals) => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
  };
  const start = async () => {
    const options = [
      '-D',
      data,
      '-p',
      String(port),
      '-h',
      '127.0.0.1',
      '-k',
      folder,
      ...(isDurable ? [] : ['-c', 'fsync=off']),
    ];
    server = spawn(join(programs, 'postgres'), options, { ...user, cwd: folder, stdio: 'ignore' });
    for (let attempt = 0; ; attempt++) {
      const up = await psql('select 1').then(
        () => true,
        () => false,
      );
      if (up) return;
      if (attempt > 200 || server.exitCode !== null) throw new Error('PostgreSQL did not start');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await start();
  return {
    async newDatabase(like) {
      const name = `test_${++databases}`;
      const template = like === undefined ? '' : ` template ${new URL(like).pathname.slice(1)}`;
      await psql(`create database ${name}${template}`);
      // A copied sequence believes that its next numbers are in the log, where they are the original's: without this it goes back to where it was when the server dies.
      if (like !== undefined) await psql('checkpoint');
      return `postgres://jsigr@127.0.0.1:${port}/${name}`;
    },
    kill: () => end('SIGQUIT'),
    start,
    async close() {
      await end('SIGINT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root: the package's own user does it there, else nobody. */
function unprivileged(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const [, , uid, gid] = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}
