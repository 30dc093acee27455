/**
 * Computing beside a service: ONNX Runtime blocks the thread that it runs in, so a service computes in one worker thread and answers from the main one.
 * This file knows neither NestJS nor gRPC: the thread imports it too (`@jsigr/service/compute`).
 */
import { isMainThread, parentPort, SHARE_ENV, type Transferable, Worker } from 'node:worker_threads';

export type { ComputeOptions } from './compute-options.ts';
export { Lru } from './lru.ts';

/** The methods of a compute thread by name. All of it is structured-cloned. */
export type ComputeMethods = Record<string, { argument: unknown; result: unknown; event?: unknown }>;

export interface CallOptions<Event> {
  /** Aborting tells the thread and rejects at once; what the thread still sends for the call is dropped. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Event) => void;
  /** Buffers that are moved, not copied: they are empty here afterwards. */
  readonly transfer?: readonly Transferable[];
}

export interface ComputeThread<M extends ComputeMethods> {
  /** Runs a method in the thread; starts the thread again if it had died. @throws what the method threw, with its reason and field; ComputeError COMPUTE_THREAD_DIED. */
  call<K extends keyof M & string>(
    method: K,
    argument: M[K]['argument'],
    options?: CallOptions<M[K]['event']>,
  ): Promise<M[K]['result']>;
  /** Aborts what the thread is doing and ends it; after two seconds by force. */
  close(): Promise<void>;
  /** Called when the thread dies without being told to. */
  onExit(listener: (error: Error) => void): void;
}

type ToThread =
  | {
      readonly type: 'call';
      readonly id: number;
      readonly method: string;
      readonly argument: unknown;
      /** Becomes 1 when the caller gives up: seen at once, also by a thread whose event loop does not turn. */
      readonly flag: Int32Array;
    }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'close' };

type FromThread =
  | { readonly type: 'result'; readonly id: number; readonly result: unknown }
  | { readonly type: 'event'; readonly id: number; readonly event: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: PlainError };

/** An error that crossed a thread: what made it useful is kept. */
interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class ComputeError extends Error {
  override readonly name = 'ComputeError';
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
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
export function startComputeThread<M extends ComputeMethods>(url: URL, data?: unknown): ComputeThread<M> {
  const listeners: ((error: Error) => void)[] = [];
  let thread: Thread | undefined;
  let closed = false;
  const current = (): Thread => {
    if (!thread || thread.dead) {
      thread = startThread(url, data, (error) => {
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

function startThread(url: URL, data: unknown, onDeath: (error: Error) => void): Thread {
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
  worker.on('exit', (code) => {
    dead = true;
    const why = cause ? `: ${cause.message}` : ` (exit code ${code})`;
    const error = new ComputeError('COMPUTE_THREAD_DIED', `the computing thread ended while it was needed${why}`, {
      cause,
    });
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
    onDeath(error);
  });
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
          if (pending.size === 0) worker.unref();
        };
        const settled =
          <T>(then: (value: T) => void) =>
          (value: T) => {
            finish();
            then(value);
          };
        send({ type: 'call', id, method, argument, flag }, transfer);
        pending.set(id, { resolve: settled(resolve), reject: settled(reject), onEvent, flag });
        worker.ref();
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
      worker.ref();
      worker.postMessage({ type: 'close' } satisfies ToThread);
      const force = setTimeout(() => void worker.terminate(), CLOSE_MS);
      await ended;
      clearTimeout(force);
    },
  };
}

function settle(pending: Map<number, Pending>, message: FromThread): void {
  const call = pending.get(message.id);
  if (message.type === 'event') call?.onEvent?.(message.event);
  else if (message.type === 'result') call?.resolve(message.result);
  else call?.reject(revive(message.error));
}

export interface ComputeContext<Event> {
  /** Tells the caller something; the buffers are moved. */
  emit(event: Event, transfer?: readonly Transferable[]): void;
  /** Aborted when the caller gave up. `aborted` and `throwIfAborted` know at once; listeners only when the thread's event loop turns. */
  readonly signal: AbortSignal;
}

export type ComputeHandlers<M extends ComputeMethods> = {
  readonly [K in keyof M]: (
    argument: M[K]['argument'],
    context: ComputeContext<M[K]['event']>,
  ) => Promise<M[K]['result']>;
};

/** Files of an artefact by path. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** The files with their buffers, to be moved to another thread. What shares its buffer with something else is copied first. */
export function movable(files: Files): { files: Files; buffers: ArrayBuffer[] } {
  const own = Object.entries(files).map(([path, bytes]): [string, Uint8Array<ArrayBuffer>] => {
    const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
    return [path, whole ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)];
  });
  return { files: Object.fromEntries(own), buffers: own.map(([, bytes]) => bytes.buffer) };
}

const moved = new WeakMap<object, readonly Transferable[]>();

/** Marks buffers of a handler's result to be moved to the caller instead of copied. */
export function transferring<T extends object>(result: T, buffers: readonly Transferable[]): T {
  moved.set(result, buffers);
  return result;
}

/** Serves the methods in this worker thread. @throws ComputeError if this is not one. */
export function serveCompute<M extends ComputeMethods>(handlers: ComputeHandlers<M>): void {
  const port = parentPort;
  if (isMainThread || !port)
    throw new ComputeError('NOT_A_COMPUTE_THREAD', 'serveCompute works in a worker thread only');
  const running = new Map<number, AbortController>();
  const send = (message: FromThread, buffers: readonly Transferable[] = []) => port.postMessage(message, [...buffers]);

  const run = async ({ id, method, argument, flag }: ToThread & { type: 'call' }) => {
    const controller = flaggedController(flag);
    running.set(id, controller);
    const emit = (event: unknown, buffers?: readonly Transferable[]) => {
      if (!controller.signal.aborted) send({ type: 'event', id, event }, buffers);
    };
    try {
      const handler = handlers[method];
      if (!handler) throw new ComputeError('UNKNOWN_METHOD', `the compute thread has no method "${method}"`);
      const result = await handler(argument, { emit, signal: controller.signal });
      send({ type: 'result', id, result }, moved.get(result as object) ?? []);
    } catch (error) {
      send({ type: 'error', id, error: plain(error) });
    } finally {
      running.delete(id);
    }
  };

  port.on('message', (message: ToThread) => {
    if (message.type === 'call') void run(message);
    else if (message.type === 'abort') running.get(message.id)?.abort(gaveUp());
    else {
      for (const controller of running.values()) controller.abort(gaveUp());
      // What is still running ends at its next look at the signal; the process object of a thread ends the thread alone.
      const leave = () => (running.size === 0 ? process.exit(0) : setImmediate(leave));
      leave();
    }
  });
}

function gaveUp(): DOMException {
  return new DOMException('the caller gave up', 'AbortError');
}

const nativeAborted = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get;
const nativeThrow = AbortSignal.prototype.throwIfAborted;

/** A controller whose signal looks at the flag whenever it is asked: a loop of synchronous engine runs hears no message. */
function flaggedController(flag: Int32Array): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const look = () => {
    if (Atomics.load(flag, 0) === 1 && !nativeAborted?.call(signal)) controller.abort(gaveUp());
  };
  Object.defineProperty(signal, 'aborted', {
    get: () => {
      look();
      return nativeAborted?.call(signal);
    },
  });
  Object.defineProperty(signal, 'throwIfAborted', {
    value: () => {
      look();
      nativeThrow.call(signal);
    },
  });
  return controller;
}

function plain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), fields: {} };
  const simple = Object.entries(error).filter(([key, value]) => key !== 'cause' && isPlainData(value));
  return {
    name: error.name,
    message: error.message,
    ...(error.stack ? { stack: error.stack } : {}),
    fields: Object.fromEntries(simple.filter(([key]) => key !== 'name')),
  };
}

function isPlainData(value: unknown): boolean {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true;
  return typeof value === 'object' && Object.values(value).every(isPlainData);
}

function revive({ name, message, stack, fields }: PlainError): Error {
  const error = Object.assign(new Error(message), fields);
  Object.defineProperty(error, 'name', { value: name, enumerable: false });
  if (stack) error.stack = stack;
  return error;
}
