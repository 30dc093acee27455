import { fork } from 'node:child_process';
import { once } from 'node:events';
import { totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { invalidArgument, resourceExhausted, siblingModule } from '@jsigr/service';
import { ComputeError, type PlainError, revive } from '@jsigr/service/compute';
import { forkOptions } from '../workers/child-process.ts';
import type { ModelMethods } from './model-methods.ts';

type Method = keyof ModelMethods & string;

/** What the process is told. */
export interface Task<K extends Method = Method> {
  readonly method: K;
  readonly argument: ModelMethods[K]['argument'];
  /** Resident, of the process. */
  readonly mostBytes: number;
}

export type Answer = { readonly result: unknown } | { readonly error: PlainError } | 'too large';

export interface ModelProcessOptions {
  /** Ends the process at once, whatever it is doing. */
  readonly signal?: AbortSignal;
  /** How much memory it may take; three quarters of what is free, and at most `MOST_BYTES`, unless told. */
  readonly mostBytes?: number;
}

/** Signals by which a program ends that did what it must not. */
const CRASHES = new Set(['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']);
/** A small model takes about 150 MiB, most of it before anything is read. */
const LEAST_BYTES = 512 * 2 ** 20;
/** A file of 465 MiB (512 are taken) took 2.9 GiB. */
const MOST_BYTES = 8 * 2 ** 30;

/**
 * Reads or writes a model in another format, in a process of its own: such calls are rare, and files of others make native code hang, crash or ask for any
 * amount of memory. Nothing is left of it afterwards.
 * @throws what the method threw, with its reason and field; the signal's reason; JsigrError INVALID_ARGUMENT for files at which the process crashed,
 *   RESOURCE_EXHAUSTED MODEL_TOO_LARGE; ComputeError COMPUTE_THREAD_DIED where it was killed
 */
export async function inModelProcess<K extends Method>(
  method: K,
  argument: ModelMethods[K]['argument'],
  { signal, mostBytes = usualBytes() }: ModelProcessOptions = {},
): Promise<ModelMethods[K]['result']> {
  signal?.throwIfAborted();
  const entry = fileURLToPath(siblingModule(import.meta.url, 'model-process'));
  const child = fork(entry, [], {
    ...forkOptions(entry),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  // One that could not be started has no id; a signal to none would go to all of the group.
  const kill = () => void (child.pid && child.kill('SIGKILL'));
  signal?.addEventListener('abort', kill);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', async (code, killer) => {
        // What it said before may come after its end.
        if (child.connected) await once(child, 'disconnect');
        reject(signal?.aborted ? signal.reason : deathOf(killer ?? code, method));
      });
      child.once('message', (answer: Answer) => {
        if (answer === 'too large') reject(tooLarge(mostBytes));
        else if ('error' in answer) reject(revive(answer.error));
        else resolve(answer.result as ModelMethods[K]['result']);
      });
      // What cannot be sent was not received: its exit tells.
      if (child.pid) child.send({ method, argument, mostBytes } satisfies Task<K>, () => {});
    });
  } finally {
    signal?.removeEventListener('abort', kill);
    kill();
  }
}

/** Of a container the limit without what the gateway has: what Node calls available there counts the cache of files as taken. */
function usualBytes(): number {
  const limit = process.constrainedMemory();
  const isContainer = limit > 0 && limit < totalmem();
  const free = isContainer ? limit - process.memoryUsage.rss() : process.availableMemory();
  return Math.min(Math.max(free * 0.75, LEAST_BYTES), MOST_BYTES);
}

function tooLarge(mostBytes: number): Error {
  return resourceExhausted(
    'MODEL_TOO_LARGE',
    `the model took more memory than it may have here, ${Math.floor(mostBytes / 2 ** 20)} MiB`,
  );
}

function deathOf(how: string | number | null, method: Method): Error {
  if (method === 'fromForeign' && CRASHES.has(String(how)))
    return invalidArgument('chunk.data', `the files made the program crash that reads them (${how})`);
  return new ComputeError(
    'COMPUTE_THREAD_DIED',
    `the process that reads and writes models ended while it was needed (${how})`,
  );
}
