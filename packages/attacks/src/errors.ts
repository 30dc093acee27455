export type AttackErrorReason =
  | 'UNKNOWN_ATTACK'
  | 'UNKNOWN_NORM'
  | 'UNKNOWN_PROFILE'
  | 'INVALID_PLAN'
  | 'INVALID_EPSILON'
  | 'INVALID_SETTING'
  | 'INVALID_INPUT'
  | 'INVALID_BUDGET'
  | 'LEDGER_MISMATCH'
  | 'LEDGER_DAMAGED'
  | 'EXAMPLES_DAMAGED'
  | 'NO_SURROGATES'
  | 'NO_GRADIENTS'
  | 'NOT_FINITE';

/** What was asked for cannot be attacked or evaluated; `field` names the culprit (`plan[1].epsilons[0]`), the message the limit. */
export class AttackError extends Error {
  override readonly name = 'AttackError';
  readonly reason: AttackErrorReason;
  readonly field: string;

  constructor(reason: AttackErrorReason, field: string, message: string, options?: { cause?: unknown }) {
    super(`${field}: ${message}`, options);
    this.reason = reason;
    this.field = field;
  }
}
