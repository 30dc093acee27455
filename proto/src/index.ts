import { fileURLToPath } from 'node:url';

export * from './generated/externalscaler/externalscaler.ts';
export * from './generated/google/rpc/error_details.ts';
export * from './generated/google/rpc/status.ts';
export * from './generated/inference/grpc_predict_v2.ts';
export * from './generated/jsigr/v1/attacker.ts';
export * from './generated/jsigr/v1/common.ts';
export * from './generated/jsigr/v1/dataset.ts';
export * from './generated/jsigr/v1/evaluation.ts';
export * from './generated/jsigr/v1/explainer.ts';
export * from './generated/jsigr/v1/explanation.ts';
export * from './generated/jsigr/v1/maintenance.ts';
export * from './generated/jsigr/v1/model.ts';
export * from './generated/jsigr/v1/trainer.ts';
export * from './generated/jsigr/v1/training.ts';
export * from './generated/jsigr/v1/worker.ts';

/** Folder that holds `jsigr/v1/*.proto`, for reflection and for clients that load the files themselves. */
export const protoDirectory = fileURLToPath(new URL('..', import.meta.url));
