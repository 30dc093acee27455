/** The explainer's compute thread. */
import { workerData } from 'node:worker_threads';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import { type Classifier, openModel } from '@jsigr/models';
import { ComputeError, Lru, serveCompute } from '@jsigr/service/compute';
import { Batcher } from './batcher.ts';
import { batchKey, explainBatch, LARGEST_BATCH } from './explain-batch.ts';
import {
  CAPACITY,
  type ExplainArgument,
  type ExplainerMethods,
  type ExplainerThreadData,
  type ExplainResult,
  type ModelCard,
} from './methods.ts';

/** With its model: one that is waited for is not lost when others are loaded meanwhile. */
interface Job {
  readonly argument: ExplainArgument;
  readonly classifier: Classifier;
}

/** As many as there are requests at a time, which may all be for other models: with fewer places they would drive out each other's before they are asked about. */
const models = new Lru<Classifier>(CAPACITY);
let engine: Promise<Engine> | undefined;

const batcher = new Batcher<Job, ExplainResult>(
  async (jobs, signal) => {
    const requests = jobs.map(({ argument }) => argument);
    const [first] = jobs;
    return first ? explainBatch(await theEngine(), first.classifier, requests, signal) : [];
  },
  { keyOf: ({ argument }) => batchKey(argument), largest: LARGEST_BATCH },
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
  explain: async (argument, { signal }) => batcher.submit({ argument, classifier: loaded(argument.model) }, signal),
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
