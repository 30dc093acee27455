import type * as z from 'zod';

export type TrainingErrorReason =
  | 'UNKNOWN_OBJECTIVE'
  | 'UNKNOWN_OPTIMIZER'
  | 'UNKNOWN_SCHEDULE'
  | 'INVALID_SETTING'
  | 'INVALID_DATASET'
  | 'NOT_FINITE'
  | 'DIVERGED'
  | 'CATASTROPHIC_OVERFITTING';

/** Every error that training raises on purpose: `reason` is part of the interface, `field` names the setting, loss term or parameter at fault. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
  readonly reason: TrainingErrorReason;
  /** E.g. `objective.settings.jacobianWeight`, or the loss term that is not a number. */
  readonly field: string;
  /** The optimiser step (from 1) at which training broke down. */
  readonly step: number | undefined;

  constructor(
    reason: TrainingErrorReason,
    field: string,
    message: string,
    options: { step?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.field = field;
    this.step = options.step;
  }
}

/** The settings with their defaults. @throws TrainingError INVALID_SETTING, naming the first field that is wrong. */
export function parseSettings<Schema extends z.ZodType>(
  schema: Schema,
  settings: unknown,
  field: string,
): z.output<Schema> {
  const parsed = schema.safeParse(settings ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = [field, ...(issue?.path ?? []).map(String)].filter((part) => part !== '').join('.');
  throw new TrainingError('INVALID_SETTING', path, `${path}: ${issue?.message}`, { cause: parsed.error });
}

/** The row with this name. @throws TrainingError with the given reason, listing the known names. */
export function findByName<Row extends { readonly name: string }>(
  rows: readonly Row[],
  name: string,
  kind: 'objective' | 'optimizer' | 'schedule',
): Row {
  const found = rows.find((row) => row.name === name);
  if (found) return found;
  const reason = `UNKNOWN_${kind.toUpperCase() as Uppercase<typeof kind>}` as const;
  const known = rows.map((row) => row.name).join(', ');
  throw new TrainingError(reason, `${kind}.name`, `there is no ${kind} "${name}"; known: ${known}`);
}
