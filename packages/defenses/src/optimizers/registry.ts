import { findByName } from '../errors.ts';
import { adam } from './adam.ts';
import type { Optimizer } from './optimizer.ts';
import { sgd } from './sgd.ts';

const OPTIMIZERS: readonly Optimizer[] = [adam, sgd];

export function listOptimizers(): readonly Optimizer[] {
  return OPTIMIZERS;
}

/** @throws TrainingError UNKNOWN_OPTIMIZER, listing the known names. */
export function findOptimizer(name: string): Optimizer {
  return findByName(OPTIMIZERS, name, 'optimizer');
}
