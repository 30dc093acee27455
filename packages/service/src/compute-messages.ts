/** What a compute thread and the one that started it say to each other. */

/** The methods of a compute thread by name. All of it is structured-cloned. */
export type ComputeMethods = Record<string, { argument: unknown; result: unknown; event?: unknown }>;

export type ToThread =
  | {
      readonly type: 'call';
      readonly id: number;
      readonly method: string;
      readonly argument: unknown;
      /** Becomes 1 when the caller gives up: seen at once, also by a thread whose event loop does not turn. */
      readonly flag: Int32Array;
      /** Changed at every sign of life. */
      readonly signs: Int32Array;
    }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'close' };

export type FromThread =
  | { readonly type: 'result'; readonly id: number; readonly result: unknown }
  | { readonly type: 'event'; readonly id: number; readonly event: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: PlainError };

/** An error that crossed a thread: what made it useful is kept. */
export interface PlainError {
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

/** What crosses to another thread of an error. */
export function plain(error: unknown): PlainError {
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

/** The error on the other side. */
export function revive({ name, message, stack, fields }: PlainError): Error {
  const error = Object.assign(new Error(message), fields);
  Object.defineProperty(error, 'name', { value: name, enumerable: false });
  if (stack) error.stack = stack;
  return error;
}
