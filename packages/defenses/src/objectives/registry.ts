import { findByName } from '../errors.ts';
import { ensembleAdversarialTraining } from './ensemble-at.ts';
import { fgsmRandomStart } from './fgsm-rs.ts';
import { finiteDifference } from './finite-difference.ts';
import { inputGradientObjective } from './input-gradient.ts';
import { interpretation } from './interpretation.ts';
import { jacobian } from './jacobian.ts';
import { jsigr } from './jsigr.ts';
import { jsigrFgsm } from './jsigr-fgsm-rs.ts';
import { mart } from './mart.ts';
import type { Objective } from './objective.ts';
import { pgdAdversarialTraining } from './pgd-at.ts';
import { selectiveGradient } from './selective-gradient.ts';
import { standard } from './standard.ts';
import { trades } from './trades.ts';

const OBJECTIVES: readonly Objective[] = [
  standard,
  jacobian,
  inputGradientObjective,
  finiteDifference,
  selectiveGradient,
  jsigr,
  interpretation,
  pgdAdversarialTraining,
  fgsmRandomStart,
  trades,
  mart,
  ensembleAdversarialTraining,
  jsigrFgsm,
];

/** Every training objective, in the order of listings. */
export function listObjectives(): readonly Objective[] {
  return OBJECTIVES;
}

/** @throws TrainingError UNKNOWN_OBJECTIVE, listing the known names. */
export function findObjective(name: string): Objective {
  return findByName(OBJECTIVES, name, 'objective');
}
