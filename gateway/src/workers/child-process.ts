import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';

const TAIL_LINES = 8;
const TAIL_CHARACTERS = 2000;

export interface ChildOptions {
  /** Path of the program. */
  readonly entry: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Called for every line that it writes to standard error. */
  readonly onLine: (line: string) => void;
}

/** A Node process that this one started and that dies with it. */
export interface Child {
  readonly pid: number | undefined;
  /** Resolves, and never rejects, once the process is gone: how, in plain words, with the last lines of its standard error. */
  readonly ended: Promise<string>;
  /** Asks it to stop, and kills it if it does not in time. */
  stop(killAfterMs: number): Promise<void>;
  kill(): void;
}

/** Forks with IPC on: the child sees it when this process dies, however that happens. */
export function startChild({ entry, environment, onLine }: ChildOptions): Child {
  const options = forkOptions(entry);
  const child = fork(entry, [], {
    ...options,
    env: { ...options.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const tail = collectLines(child, onLine);
  const ended = endOf(child, tail);
  return {
    pid: child.pid,
    ended,
    kill: () => void child.kill('SIGKILL'),
    async stop(killAfterMs) {
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
      await ended;
      clearTimeout(kill);
    },
  };
}

/** What every Node process that the gateway starts has of it. */
export function forkOptions(entry: string): ForkOptions {
  // The database, and the password for it, are the gateway's alone.
  const { JSIGR_DATABASE_URL: _, ...env } = process.env;
  return {
    execPath: process.execPath,
    // Not this process's own flags: a debugger's port cannot be taken twice.
    execArgv: entry.endsWith('.ts') ? ['--conditions=source', '--disable-warning=ExperimentalWarning'] : [],
    env,
  };
}

function collectLines(child: ChildProcess, onLine: (line: string) => void): readonly string[] {
  const tail: string[] = [];
  let rest = '';
  const add = (line: string) => {
    if (line.trim() === '') return;
    onLine(line);
    tail.push(plainLine(line));
    if (tail.length > TAIL_LINES) tail.shift();
  };
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(-TAIL_CHARACTERS);
    lines.forEach(add);
  });
  child.stderr?.on('end', () => add(rest));
  return tail;
}

/** Workers log in JSON; people want the message. */
export function plainLine(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === 'string' ? msg : line;
  } catch {
    return line;
  }
}

function endOf(child: ChildProcess, tail: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const say = (how: string) => {
      const words = tail.join(' | ').slice(-TAIL_CHARACTERS);
      resolve(words ? `${how}; it said: ${words}` : how);
    };
    child.once('error', (error) => say(`could not be started: ${error.message}`));
    // `close`, not `exit`: by then standard error was read to its end.
    child.once('close', (code, signal) => say(signal ? killedBy(signal) : `ended with exit code ${code}`));
  });
}

function killedBy(signal: NodeJS.Signals): string {
  const guess = signal === 'SIGKILL' ? ' (by hand, or by the system because memory ran out)' : '';
  return `was killed by ${signal}${guess}`;
}
