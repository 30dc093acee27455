export type { Architecture } from './architectures/architecture.ts';
export { findArchitecture, listArchitectures } from './architectures/registry.ts';
export {
  CHECKPOINT_VERSION,
  type Checkpoint,
  type CheckpointFiles,
  decodeCheckpoint,
  encodeCheckpoint,
} from './checkpoint.ts';
export type { Classifier, ImageShape } from './classifier.ts';
export {
  createClassifier,
  type Forward,
  forwardOf,
  parameterCount,
  type TrainingForward,
  trainingForwardOf,
} from './create-classifier.ts';
export { ensemble } from './ensemble.ts';
export { ModelError, type ModelErrorReason } from './errors.ts';
export { classifierToOnnx } from './export-onnx.ts';
export { type ImportOptions, importModel, importOptionsSchema } from './imported/import-model.ts';
export { type Layout, layouts } from './imported/manifest.ts';
export { ACTIVATION_NAMES, type Activation } from './layers.ts';
export {
  checkParameters,
  initialParameters,
  MAX_SEED,
  type ModelSpec,
  modelSpecSchema,
  parameterShapes,
  type ResolvedModelSpec,
  resolveModelSpec,
  statisticNames,
} from './model-spec.ts';
export { NORM_KINDS, type NormKind } from './norm-layers.ts';
export { openModel, type StoredModel } from './open-model.ts';
export { accuracy, argmax, type LabelledImages, type PredictOptions, predict, specsOf } from './predict.ts';
