import { findByName } from '../errors.ts';
import { inputGradientObjective } from './input-gradient.ts';
import { jacobian } from './jacobian.ts';
import { jsigr } from './jsigr.ts';
import type { Objective } from './objective.ts';
import { pgdAdversarialTraining } from './pgd-at.ts';
import { standard } from './standard.ts';

const OBJECTIVES: readonly Objective[] = [standard, jacobian, inputGradientObjective, jsigr, pgdAdversarialTraining];

/** Every training objective, in the order of listings. */
export function listObjectives(): readonly Objective[] {
  return OBJECTIVES;
}

/** @throws TrainingError UNKNOWN_OBJECTIVE, listing the known names. */
export function findObjective(name: string): Objective {
  return findByName(OBJECTIVES, name, 'objective');
}
