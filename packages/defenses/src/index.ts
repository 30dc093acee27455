export {
  planTraining,
  type ResolvedTrainingConfig,
  type TrainingConfig,
  type TrainingPlan,
  trainingConfigSchema,
} from './config.ts';
export { TrainingError, type TrainingErrorReason } from './errors.ts';
export type { CheckpointEvent, EpochEvent, FinishedEvent, StateEvent, StepEvent, TrainingEvent } from './events.ts';
export {
  adaptPenalties,
  FIRST_CONTROL,
  type LoopFeedback,
  type PenaltyControl,
  type TransferredExamples,
} from './feedback.ts';
export { type ObjectiveHelp, objectivesHelp, type SettingHelp, settingsHelp, techniquesHelp } from './help.ts';
export type { BoundObjective, Objective, TracedBatch, TracedLoss } from './objectives/objective.ts';
export { findObjective, listObjectives } from './objectives/registry.ts';
export type { BoundOptimizer, Optimizer } from './optimizers/optimizer.ts';
export { findOptimizer, listOptimizers } from './optimizers/registry.ts';
export { type NetworkDescription, type Problem, problemsOf, type Undertaking } from './requirements.ts';
export type { FixedNetwork, TrainingOptions } from './run.ts';
export { mapsBy, type SaliencyEstimator, type SaliencyPlan } from './saliency-cache.ts';
export { findSchedule, listSchedules, type Schedule } from './schedules.ts';
export { type Techniques, techniquesSchema, traceTechniques } from './techniques.ts';
export { train, trainToEnd } from './train.ts';
export { initialState, trainingStep } from './training-step.ts';
