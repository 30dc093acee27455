import { isMainThread, parentPort, type Transferable } from 'node:worker_threads';
import { ComputeError, type ComputeMethods, type FromThread, plain, type ToThread } from './compute-messages.ts';

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

  const run = async ({ id, method, argument, flag, signs }: ToThread & { type: 'call' }) => {
    const sign = () => void Atomics.add(signs, 0, 1);
    const controller = flaggedController(flag, sign);
    running.set(id, controller);
    sign();
    const emit = (event: unknown, buffers?: readonly Transferable[]) => {
      sign();
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

/** A controller whose signal looks at the flag whenever it is asked: a loop of synchronous engine runs hears no message. @param onLook whoever asks is alive */
function flaggedController(flag: Int32Array, onLook: () => void): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const look = () => {
    onLook();
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
