export type { Access, Attack, AttackContext, Cost } from './attack.ts';
export { toBytes } from './bytes.ts';
export { AttackError, type AttackErrorReason } from './errors.ts';
export {
  type AttackResult,
  type EvaluationOptions,
  type EvaluationProgress,
  type EvaluationReport,
  evaluate,
  type WorstCase,
} from './evaluation.ts';
export { fgsm } from './fgsm.ts';
export { classify } from './judge.ts';
export { type AttackLoss, crossEntropy, type LossName, losses, margin } from './losses.ts';
export { miFgsm } from './mi-fgsm.ts';
export { noise } from './noise.ts';
export { l2, linf, type Norm, type NormName, normNamed, norms } from './norms.ts';
export { pgd } from './pgd.ts';
export { defaultPlan, type PlanEntry, type Source } from './plan.ts';
export { attackNamed, attacks } from './registry.ts';
export { type AttackJob, type LedgerRow, runAttack } from './runner.ts';
export {
  clopperPearson,
  type Interval,
  incompleteBeta,
  mcnemar,
  type Proportion,
  proportion,
  wilson,
} from './statistics.ts';
export {
  type Bounds,
  confine,
  gradientStep,
  gradientStepOf,
  type MomentumInputs,
  momentumStep,
  momentumStepOf,
  type StepInputs,
} from './step.ts';
