/** Shape of one parameter and what its first values are. */
export interface ParameterShape {
  readonly shape: readonly number[];
  /** First values are normal around this mean, all equal to it where the deviation is 0. */
  readonly mean: number;
  readonly deviation: number;
  /** A running statistic: forward passes in training mode give its next value, and no optimiser touches it. */
  readonly isStatistic: boolean;
}

export type ParameterShapes = Readonly<Record<string, ParameterShape>>;

/** A parameter that is trained from this value on. */
export function constant(shape: readonly number[], value: number): ParameterShape {
  return { shape, mean: value, deviation: 0, isStatistic: false };
}

/** A running statistic that has this value at first. */
export function statistic(shape: readonly number[], value: number): ParameterShape {
  return { ...constant(shape, value), isStatistic: true };
}
