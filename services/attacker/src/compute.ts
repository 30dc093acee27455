/** The attacker's compute thread. */
import { workerData } from 'node:worker_threads';
import { encodeLedger, evaluate } from '@jsigr/attacks';
import { type Dataset, decodeDataset, holdOut, type Split } from '@jsigr/datasets';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import { type Checkpoint, openModel, type StoredModel } from '@jsigr/models';
import { type ComputeContext, ComputeError, Lru, movable, serveCompute, transferring } from '@jsigr/service/compute';
import { ExampleKeeper } from './examples.ts';
import type { AttackerMethods, AttackerThreadData, EvaluateArgument, EvaluateResult, Progress } from './methods.ts';

/** Models and their surrogates (8 at most) of the evaluations that take turns. */
const models = new Lru<StoredModel>(32);
const datasets = new Lru<Dataset>(2);
let engine: Promise<Engine> | undefined;

serveCompute<AttackerMethods>({
  async knows({ kind, digest }) {
    return (kind === 'models' ? models : datasets).get(digest) !== undefined;
  },
  async load({ kind, digest, files }) {
    if (kind === 'datasets') datasets.set(digest, decodeDataset(files));
    else models.set(digest, await openModel(files, digest));
  },
  evaluate: evaluateLoaded,
});

async function evaluateLoaded(
  argument: EvaluateArgument,
  { emit, signal }: ComputeContext<Progress>,
): Promise<EvaluateResult> {
  const { plan, cascade, assessMasking, keepExamples, seed, samples } = argument;
  engine ??= createAnnouncedEngine(workerData as AttackerThreadData);
  const { checkpoint, classifier } = loaded(models, argument.model);
  const dataset = loaded(datasets, argument.dataset);
  const { split, order } = partOf(checkpoint, dataset, argument);
  const indices = samples === 0 ? order : order.slice(0, samples);
  const positions = new Map(indices.map((index, position) => [index, position]));
  const keeper = new ExampleKeeper(plan, keepExamples);
  const { report, ledger } = await evaluate(await engine, {
    target: classifier,
    surrogates: argument.surrogates.map((digest) => loaded(models, digest).classifier),
    split,
    indices,
    input: dataset.input,
    plan,
    cascade,
    assessMasking,
    seed,
    onProgress: ({ attack, epsilon, cell, cells, attempts, attemptsAtMost }) =>
      emit({ attack, epsilon, fraction: (cell + attempts / Math.max(attemptsAtMost, 1)) / cells }),
    onExample: (row, image) => keeper.add({ ...row, sample: positions.get(row.sample) ?? 0 }, image),
    signal,
  });
  // Without its seconds, equal evaluations have the same ledger.
  const { 'seconds.json': _, ...stored } = encodeLedger(ledger);
  const { files, buffers } = movable(stored);
  return transferring(
    {
      report,
      step: checkpoint?.step ?? 0,
      epoch: checkpoint?.epoch ?? 0,
      input: classifier.input,
      examples: keeper.all(),
      ledger: files,
    },
    buffers,
  );
}

function loaded<T>(cache: Lru<T>, digest: string): T {
  const found = cache.get(digest);
  if (found === undefined) throw new ComputeError('NOT_LOADED', `${digest} is not loaded`);
  return found;
}

/** The samples of a part: those of the test set, or those of the training set that the model's own training held out. */
function partOf(
  checkpoint: Checkpoint | undefined,
  dataset: Dataset,
  { part, dataset: digest }: EvaluateArgument,
): { split: Split; order: readonly number[] } {
  if (part === 'test')
    return { split: dataset.test, order: Array.from({ length: dataset.test.count }, (_, index) => index) };
  if (!checkpoint)
    throw invalidPart('the model was imported: which samples its training held out is not known; attack the test part');
  const { configuration, seed, dataset: trainedOn } = checkpoint;
  const { heldOutFraction } = configuration;
  if (trainedOn.digest !== digest)
    throw invalidPart(
      `the model was trained on another dataset (${trainedOn.name || 'unknown'}): it held out nothing of this one`,
    );
  if (typeof heldOutFraction !== 'number' || heldOutFraction <= 0)
    throw invalidPart('the model does not say that it held out samples');
  return { split: dataset.train, order: [...holdOut(dataset.train, heldOutFraction, seed).held] };
}

function invalidPart(message: string): Error {
  return Object.assign(new Error(message), { reason: 'INVALID_PART', field: 'plan.part' });
}
