export type SaliencyErrorReason =
  | 'UNKNOWN_METHOD'
  | 'UNKNOWN_OUTPUT'
  | 'INVALID_SETTING'
  | 'INVALID_INPUT'
  | 'NOT_FINITE'
  | 'INVALID_IMAGE';

/** What was asked for cannot be explained or drawn; `field` names the culprit, the message the limit. */
export class SaliencyError extends Error {
  override readonly name = 'SaliencyError';
  readonly reason: SaliencyErrorReason;
  readonly field: string;

  constructor(reason: SaliencyErrorReason, field: string, message: string, options?: { cause?: unknown }) {
    super(`${field}: ${message}`, options);
    this.reason = reason;
    this.field = field;
  }
}
