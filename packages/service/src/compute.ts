/**
 * Computing beside a service: ONNX Runtime blocks the thread that it runs in, so a service computes in one worker thread and answers from the main one.
 * This file knows neither NestJS nor gRPC: the thread imports it too (`@jsigr/service/compute`).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SHARE_ENV, type Transferable, Worker } from 'node:worker_threads';
import { ComputeError, type ComputeMethods, type FromThread, revive, type ToThread } from './compute-messages.ts';
import { watchSigns } from './signs-of-life.ts';

export { ComputeError, type ComputeMethods, type PlainError, plain, revive } from './compute-messages.ts';
export type { ComputeOptions } from './compute-options.ts';
export { Lru } from './lru.ts';
export {
  type ComputeContext,
  type ComputeHandlers,
  type Files,
  movable,
  serveCompute,
  transferring,
} from './serve-compute.ts';

export interface CallOptions<Event> {
  /** Aborting tells the thread and rejects at once; what the thread still sends for the call is dropped. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Event) => void;
  /** Buffers that are moved, not copied: they are empty here afterwards. */
  readonly transfer?: readonly Transferable[];
}

export interface ComputeThread<M extends ComputeMethods> {
  /** Runs a method in the thread; starts the thread again if it had died. @throws what the method threw, with its reason and field; ComputeError COMPUTE_THREAD_DIED, COMPUTE_THREAD_SILENT. */
  call<K extends keyof M & string>(
    method: K,
    argument: M[K]['argument'],
    options?: CallOptions<M[K]['event']>,
  ): Promise<M[K]['result']>;
  /** Aborts what the thread is doing and ends it; after two seconds by force. */
  close(): Promise<void>;
  /** Called when the thread dies, or is given up for its silence, without being told to end. */
  onExit(listener: (error: Error) => void): void;
}

export interface ThreadOptions {
  /** Structured-cloned, as `workerData`. */
  readonly data?: unknown;
  /**
   * How long a thread that has something to do may give no sign of life, in milliseconds; then it is ended, and its calls are rejected with
   * COMPUTE_THREAD_SILENT. Every event and every look at the signal is such a sign; native code that compiles a network or computes gives none. 0, or absent: for ever.
   */
  readonly silenceMs?: number;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
  readonly flag: Int32Array;
}

/** URL of a module beside this one: `.ts` when running from sources, else `.js`. */
export function siblingModule(importMetaUrl: string, name: string): URL {
  return new URL(`./${name}${importMetaUrl.endsWith('.ts') ? '.ts' : '.js'}`, importMetaUrl);
}

/** Starts the thread of a module that calls `serveCompute`. */
export function startComputeThread<M extends ComputeMethods>(url: URL, options: ThreadOptions = {}): ComputeThread<M> {
  const listeners: ((error: Error) => void)[] = [];
  let thread: Thread | undefined;
  let closed = false;
  const current = (): Thread => {
    if (!thread || thread.dead) {
      thread = startThread(url, options, (error) => {
        if (!closed) for (const listener of listeners) listener(error);
      });
    }
    return thread;
  };
  current();
  return {
    async call(method, argument, options = {}) {
      if (closed) throw closedError();
      return current().call(method, argument, options as CallOptions<unknown>);
    },
    async close() {
      closed = true;
      await thread?.close();
    },
    onExit: (listener) => void listeners.push(listener),
  };
}

function closedError(): ComputeError {
  return new ComputeError('COMPUTE_THREAD_CLOSED', 'the compute thread was closed');
}

interface Thread {
  readonly worker: Worker;
  readonly dead: boolean;
  call(method: string, argument: unknown, options: CallOptions<unknown>): Promise<unknown>;
  close(): Promise<void>;
}

const CLOSE_MS = 2000;

function endByForce(): void {
  process.kill(process.pid, 'SIGKILL');
}

function startThread(url: URL, { data, silenceMs = 0 }: ThreadOptions, onDeath: (error: Error) => void): Thread {
  const fromSource = url.pathname.endsWith('.ts');
  const worker = new Worker(url, {
    workerData: data,
    env: SHARE_ENV, // what is set here must reach native libraries, which know the environment of the process only
    // Node strips types of sources itself; packages then resolve to their sources too.
    ...(fromSource ? { execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'] } : {}),
  });
  const pending = new Map<number, Pending>();
  let nextId = 1;
  let dead = false;
  let cause: Error | undefined;
  worker.on('message', (message: FromThread) => settle(pending, message));
  worker.on('error', (error) => {
    cause = error;
  });
  const die = (error: ComputeError) => {
    if (dead) return;
    dead = true;
    for (const { reject } of [...pending.values()]) reject(error);
    onDeath(error);
  };
  worker.on('exit', (code) => {
    const why = cause ? `: ${cause.message}` : ` (exit code ${code})`;
    die(new ComputeError('COMPUTE_THREAD_DIED', `the computing thread ended while it was needed${why}`, { cause }));
  });
  const signs = new Int32Array(new SharedArrayBuffer(4));
  const giveUp = () => {
    const seconds = silenceMs / 1000;
    die(
      new ComputeError(
        'COMPUTE_THREAD_SILENT',
        `the computing thread gave no sign of life for ${seconds} s and was ended`,
      ),
    );
    // What hangs in native code cannot be cut: it ends with the process, which its owner should give up too.
    void worker.terminate();
  };
  let endWatch: (() => void) | undefined;
  const watch = () => {
    if (silenceMs > 0) endWatch ??= watchSigns(signs, silenceMs, giveUp);
  };
  const unwatch = () => {
    endWatch?.();
    endWatch = undefined;
  };
  // Only a call in progress keeps the process alive.
  worker.unref();

  return {
    worker,
    get dead() {
      return dead;
    },
    call: (method, argument, { signal, onEvent, transfer = [] }) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const id = nextId++;
        const send = (message: ToThread, moved: readonly Transferable[] = []) =>
          worker.postMessage(message, [...moved]);
        const flag = new Int32Array(new SharedArrayBuffer(4));
        const abort = () => {
          Atomics.store(flag, 0, 1);
          send({ type: 'abort', id });
          finish();
          reject(signal?.reason);
        };
        const finish = () => {
          signal?.removeEventListener('abort', abort);
          pending.delete(id);
          if (pending.size > 0) return;
          worker.unref();
          unwatch();
        };
        const settled =
          <T>(then: (value: T) => void) =>
          (value: T) => {
            finish();
            then(value);
          };
        send({ type: 'call', id, method, argument, flag, signs }, transfer);
        pending.set(id, { resolve: settled(resolve), reject: settled(reject), onEvent, flag });
        worker.ref();
        watch();
        signal?.addEventListener('abort', abort, { once: true });
      }),
    // A thread that is cut within a native call can take the process with it: it is asked first.
    close: async () => {
      if (dead) return;
      for (const { reject, flag } of [...pending.values()]) {
        Atomics.store(flag, 0, 1);
        reject(closedError());
      }
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      const within = new AbortController();
      const passed = () => delay(CLOSE_MS, undefined, { signal: within.signal }).catch(() => {});
      worker.ref();
      worker.postMessage({ type: 'close' } satisfies ToThread);
      await Promise.race([ended, passed()]);
      void worker.terminate();
      // What hangs in native code cannot be cut. Nobody waits for it but the end of the process, which is therefore made by force.
      process.on('exit', endByForce);
      void ended.then(() => process.off('exit', endByForce));
      await Promise.race([ended, passed()]);
      within.abort();
      worker.unref();
    },
  };
}

function settle(pending: Map<number, Pending>, message: FromThread): void {
  const call = pending.get(message.id);
  if (message.type === 'event') call?.onEvent?.(message.event);
  else if (message.type === 'result') call?.resolve(message.result);
  else call?.reject(revive(message.error));
}
