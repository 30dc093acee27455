export type { Architecture } from './architectures/architecture.ts';
export { findArchitecture, listArchitectures } from './architectures/registry.ts';
export {
  CHECKPOINT_VERSION,
  type Checkpoint,
  type CheckpointFiles,
  decodeCheckpoint,
  encodeCheckpoint,
} from './checkpoint.ts';
export { budgeted, type Classifier, type ImageShape, isQueried, mayAsk, type QueriedClassifier } from './classifier.ts';
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
export { type HeldOutPart, heldOutBy } from './held-out.ts';
export type { Oracle } from './imported/black-box.ts';
export { type EndpointClient, oracleOfEndpoint } from './imported/endpoint.ts';
export { type ImportOptions, importEndpoint, importModel, importOptionsSchema } from './imported/import-model.ts';
export { type Endpoint, endpointSchema, type Layout, layouts } from './imported/manifest.ts';
export { IMPORTED_ARCHITECTURE, type ImportedSpec, type NetworkSpec } from './imported/spec.ts';
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
export { classifierOfNetwork, type Network, statisticsOf, zooNetwork } from './network.ts';
export { NORM_KINDS, type NormKind } from './norm-layers.ts';
export { type OpenedNetwork, type OpenOptions, openModel, openNetwork, type StoredModel } from './open-model.ts';
export { accuracy, argmax, type LabelledImages, type PredictOptions, predict } from './predict.ts';
