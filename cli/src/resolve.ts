import { type Dataset, type Model } from '@jsigr/proto';
import { failedPrecondition, notFound, unary } from '@jsigr/service/client';
import { resource } from './options.ts';
import type { Session } from './session.ts';

/** A model by its name, a prefix of its digest, or the run whose best model it is. */
export async function findModel(session: Session, name: string): Promise<Model> {
  const wanted = name.startsWith('trainingRuns/') ? await bestOf(session, name) : resource('models', name);
  const { model } = await unary(session.models, 'getModel', { name: wanted });
  if (!model) throw notFound('model', wanted);
  return model;
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
