export type DatasetErrorReason =
  /** A file that an importer or a manifest names is not there. */
  | 'MISSING_FILE'
  /** A file is there and cannot be read (permissions, not a regular file). */
  | 'UNREADABLE_FILE'
  /** A file contradicts its format or itself. */
  | 'MALFORMED_FILE'
  /** A file or what it promises is over a documented limit. */
  | 'TOO_LARGE'
  /** A file is not the one that the manifest describes. */
  | 'DIGEST_MISMATCH'
  /** An argument is out of range. */
  | 'INVALID_OPTION';

/** Every error that this package raises on purpose; `reason` and `field` are part of the interface, the message is for people. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
  readonly reason: DatasetErrorReason;
  /** The file or option at fault, e.g. `train-labels-idx1-ubyte` or `seed`. */
  readonly field: string;

  constructor(reason: DatasetErrorReason, field: string, message: string, options?: { cause?: unknown }) {
    super(`${field}: ${message}`, options);
    this.reason = reason;
    this.field = field;
  }
}

/** An option that must be an integer in a range. @throws DatasetError INVALID_OPTION */
export function checkedInteger(field: string, value: number, minimum: number, maximum: number): number {
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    throw new DatasetError('INVALID_OPTION', field, `must be an integer from ${minimum} to ${maximum}, not ${value}`);
  return value;
}
