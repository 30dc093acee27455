export { AdversarialKeeper, decodeAdversarial, encodeAdversarial, type KeptAdversarial } from './adversarial.ts';
export type { Access, Attack, AttackContext, Cost, Goal, Outcome } from './attack.ts';
export { type Beyond, encodeBeyond } from './beyond.ts';
export { toBytes } from './bytes.ts';
export { type Capability, capabilities, type Setting } from './capabilities.ts';
export type { Certification, CertifiedAccuracy } from './certified.ts';
export { chosenSettings } from './chosen-settings.ts';
export {
  type ComparedBall,
  compareLedgers,
  type ExactShare,
  type LedgerComparison,
  type PairedShares,
  robustSamples,
} from './comparison.ts';
export { AttackError, type AttackErrorReason } from './errors.ts';
export { evaluate } from './evaluation.ts';
export type { Budget, EvaluationOptions, EvaluationProgress } from './evaluation-options.ts';
export { decodeExamples, type ExampleSet, encodeExamples } from './example-files.ts';
export type { Flag } from './flags.ts';
export { classify } from './judge.ts';
export {
  type Cell,
  decodeLedger,
  encodeLedger,
  type Ledger,
  type LedgerFiles,
  mergeLedgers,
  type Unit,
} from './ledger.ts';
export { type AttackLoss, crossEntropy, dlr, type LossName, losses, margin, targetedDlr } from './losses.ts';
export { assessMasking, type MaskingAssessment, type MaskingOptions } from './masking.ts';
export type { MaskingSignal, MaskingVerdict } from './masking-signals.ts';
export type { SmallestEpsilons } from './nearest-boundary.ts';
export { l1, l2, linf, type Norm, type NormName, normNamed, norms } from './norms.ts';
export { pgd } from './pgd.ts';
export { defaultPlan, type PlanEntry, type Source } from './plan.ts';
export { type Profile, profilePlan, profiles } from './profiles.ts';
export type { EpsilonQuantile } from './quantiles.ts';
export { type RandomisedClassifier, randomised } from './randomised.ts';
export { attackNamed, attacks } from './registry.ts';
export type { AttackResult, EvaluationReport, WorstCase } from './report.ts';
export { type AttackJob, type LedgerRow, runAttack } from './runner.ts';
export { curveOf, type SmallestEpsilon, type SmallestEpsilonJob, smallestEpsilons } from './smallest-epsilon.ts';
export { type Certificate, certify, type SmoothingOptions } from './smoothing.ts';
export {
  clopperPearson,
  type Interval,
  incompleteBeta,
  mcnemar,
  normalQuantile,
  type Proportion,
  proportion,
  wilson,
} from './statistics.ts';
export { type Bounds, confine, gradientStep, gradientStepOf, type StepInputs } from './step.ts';
export {
  type MatrixCell,
  type MatrixOptions,
  type MatrixTable,
  type TransferMatrix,
  transferMatrix,
} from './transfer-matrix.ts';
