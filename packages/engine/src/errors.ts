export type EngineErrorReason =
  | 'SHAPE_MISMATCH'
  | 'UNSUPPORTED_OPERATION'
  | 'NO_GRADIENT'
  | 'INVALID_GRAPH'
  | 'INVALID_INPUT'
  | 'RUNTIME_FAILURE'
  | 'MISSING_ENGINE'
  | 'MALFORMED_FILE';

/** Every error that the engine raises on purpose; `reason` is part of the interface, the message is for people. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly reason: EngineErrorReason;

  constructor(reason: EngineErrorReason, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
