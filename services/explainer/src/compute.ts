/** The explainer's compute thread. */
import { workerData } from 'node:worker_threads';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import { type Classifier, openModel } from '@jsigr/models';
import { ComputeError, Lru, serveCompute } from '@jsigr/service/compute';
import { Batcher } from './batcher.ts';
import { batchKey, explainBatch, LARGEST_BATCH } from './explain-batch.ts';
import type { ExplainArgument, ExplainerMethods, ExplainerThreadData, ExplainResult, ModelCard } from './methods.ts';

const models = new Lru<Classifier>(8);
let engine: Promise<Engine> | undefined;

const batcher = new Batcher<ExplainArgument, ExplainResult>(
  async (requests, signal) =>
    explainBatch(await theEngine(), loaded(requests[0]?.model ?? ''), requests, signal),
  { keyOf: batchKey, largest: LARGEST_BATCH },
);

serveCompute<ExplainerMethods>({
  async describe(digest) {
    const model = models.get(digest);
    return model && cardOf(model);
  },
  async load({ digest, files }) {
    const { classifier } = await openModel(files, digest);
    models.set(digest, classifier);
    return cardOf(classifier);
  },
  explain: (argument, { signal }) => batcher.submit(argument, signal),
});

function theEngine(): Promise<Engine> {
  engine ??= createAnnouncedEngine(workerData as ExplainerThreadData);
  return engine;
}

function loaded(digest: string): Classifier {
  const classifier = models.get(digest);
  if (!classifier) throw new ComputeError('NOT_LOADED', `the model ${digest} is not loaded`);
  return classifier;
}

function cardOf({ input, classes }: Classifier): ModelCard {
  return { input, classes };
}
