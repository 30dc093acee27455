import type { Tensor } from '@tensorflow/tfjs-core';
import type { DType } from '../ndarray.ts';

/** How to draw one input of a sample: uniform in [low, high], not closer than `margin` to a point of `avoid`. */
export interface Source {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly low: number;
  readonly high: number;
  readonly avoid: readonly number[];
  readonly margin: number;
}

/** One case for the conformance tests. */
export interface Sample {
  readonly inputs: readonly Source[];
  readonly call: (...inputs: Tensor[]) => Tensor;
  /** Highest derivative that is tested (default 2). */
  readonly order?: 0 | 1 | 2;
  /** Whether `call` takes inputs of any shape, so that it can also be tested on one element and in five dimensions. */
  readonly anyShape?: boolean;
  /** Largest error relative to the largest number of the result (default 1e-5 between engines). */
  readonly tolerance?: number;
}

export function real(shape: readonly number[], low = -1.5, high = 1.5): Source {
  return { shape, dtype: 'float32', low, high, avoid: [], margin: 0 };
}

export function positive(shape: readonly number[]): Source {
  return real(shape, 0.4, 2);
}

/** Numbers away from kinks and jumps, where differences would fail. */
export function realAwayFrom(points: readonly number[], shape: readonly number[], margin = 0.2): Source {
  return { ...real(shape), avoid: points, margin };
}

/** Integers 0 ... limit - 1. */
export function integers(shape: readonly number[], limit: number): Source {
  return { shape, dtype: 'int32', low: 0, high: limit, avoid: [], margin: 0 };
}

export function booleans(shape: readonly number[]): Source {
  return { shape, dtype: 'bool', low: 0, high: 2, avoid: [], margin: 0 };
}

export function sample(inputs: readonly Source[], call: Sample['call'], options: Omit<Sample, 'inputs' | 'call'> = {}) {
  return { inputs, call, ...options };
}
