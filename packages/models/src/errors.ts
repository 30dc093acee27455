export type ModelErrorReason =
  | 'UNKNOWN_ARCHITECTURE'
  | 'INVALID_SHAPE'
  | 'INVALID_SETTING'
  | 'PARAMETER_MISMATCH'
  | 'MALFORMED_CHECKPOINT'
  | 'UNSUPPORTED_VERSION'
  | 'DIGEST_MISMATCH'
  | 'UNSUPPORTED_MODEL'
  | 'BLACK_BOX'
  | 'BUDGET_SPENT'
  | 'MALFORMED_ANSWER';

/** Every error that this package raises on purpose: `reason` is part of the interface, `field` names what is wrong, the message says what is allowed. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly reason: ModelErrorReason;
  /** The setting, parameter or file at fault, e.g. `classes` or `weights.safetensors`. */
  readonly field: string;

  constructor(reason: ModelErrorReason, field: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
    this.field = field;
  }
}
