import type { NdArray } from '@jsigr/engine';
import { ModelError } from './errors.ts';

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

/**
 * @param network what has these parameters, for messages
 * @throws ModelError PARAMETER_MISMATCH, naming the first parameter that is missing, unknown or of another shape
 */
export function checkShapes(
  network: string,
  shapes: Readonly<Record<string, Pick<ParameterShape, 'shape'>>>,
  parameters: Readonly<Record<string, NdArray>>,
): void {
  const problem = (name: string, message: string) => new ModelError('PARAMETER_MISMATCH', name, message);
  for (const [name, { shape }] of Object.entries(shapes)) {
    const given = parameters[name];
    if (given === undefined) throw problem(name, `the parameter ${name} of ${network} is missing`);
    if (given.dtype !== 'float32' || given.shape.join() !== shape.join())
      throw problem(
        name,
        `the parameter ${name} is ${given.dtype} [${given.shape}]; ${network} needs float32 [${shape}]`,
      );
  }
  for (const name of Object.keys(parameters))
    if (!(name in shapes)) throw problem(name, `${network} has no parameter ${name}`);
}
