import { status } from '@grpc/grpc-js';
import { type Dataset, type Model } from '@jsigr/proto';
import { failedPrecondition, JsigrError, notFound, unary } from '@jsigr/service/client';
import { resource } from './options.ts';
import type { Session } from './session.ts';

/** A model by its name, a prefix of its digest, or the run whose best model it is. */
export async function findModel(session: Session, name: string): Promise<Model> {
  const wanted = name.startsWith('trainingRuns/') ? await bestOf(session, name) : resource('models', name);
  const { model } = await unary(session.models, 'getModel', { name: wanted }).catch((error) => {
    throw inTermsOfCommands(error);
  });
  if (!model) throw notFound('model', wanted);
  return model;
}

const HINTS: Partial<Record<status, string>> = {
  [status.INVALID_ARGUMENT]:
    'a model is models/DIGEST, the first digits of a digest (8 at least), or trainingRuns/ID for the best model of a run',
  [status.NOT_FOUND]: '`jsigr models list` shows all',
};

/** The gateway's hints name methods. */
function inTermsOfCommands(caught: unknown): JsigrError {
  const error = JsigrError.from(caught);
  const { code, reason, message, violations } = error;
  const hint = HINTS[code] ?? error.hint;
  return new JsigrError({ code, reason, message, violations, ...(hint ? { hint } : {}), cause: caught });
}

/** @throws JsigrError NOT_FOUND */
export async function findDataset(session: Session, name: string): Promise<Dataset> {
  const wanted = resource('datasets', name);
  const { dataset } = await unary(session.datasets, 'getDataset', { name: wanted });
  if (!dataset) throw notFound('dataset', wanted);
  return dataset;
}

async function bestOf(session: Session, name: string): Promise<string> {
  const { trainingRun } = await unary(session.training, 'getTrainingRun', { name });
  const model = trainingRun?.bestModel || trainingRun?.latestModel;
  if (!model) throw failedPrecondition('NO_CHECKPOINT', `${name} has no checkpoint yet`);
  return model;
}
