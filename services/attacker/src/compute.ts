/** The attacker's compute thread. */
import { workerData } from 'node:worker_threads';
import {
  AdversarialKeeper,
  decodeLedger,
  encodeAdversarial,
  encodeBeyond,
  encodeLedger,
  evaluate,
  type Ledger,
  mergeLedgers,
  transferMatrix,
} from '@jsigr/attacks';
import { type Dataset, decodeDataset, holdOut, type Split } from '@jsigr/datasets';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import {
  budgeted,
  type Checkpoint,
  type Endpoint,
  isQueried,
  type Oracle,
  openModel,
  oracleOfEndpoint,
  type StoredModel,
} from '@jsigr/models';
import {
  type ComputeContext,
  ComputeError,
  type Files,
  Lru,
  movable,
  serveCompute,
  transferring,
} from '@jsigr/service/compute';
import { openInference } from '@jsigr/service/inference';
import { craftTraining } from './craft.ts';
import { ExampleKeeper } from './examples.ts';
import type {
  AttackerMethods,
  AttackerThreadData,
  CraftArgument,
  EvaluateArgument,
  EvaluateResult,
  FailedLedger,
  MatrixArgument,
  MatrixResult,
  PartialLedger,
  Progress,
} from './methods.ts';

/** Models and their surrogates (8 at most) of the evaluations that take turns. */
const models = new Lru<StoredModel>(32, ({ classifier }) => isQueried(classifier) && classifier.close?.());
const datasets = new Lru<Dataset>(2);
let engine: Promise<Engine> | undefined;

serveCompute<AttackerMethods>({
  async knows({ kind, digest }) {
    return (kind === 'models' ? models : datasets).get(digest) !== undefined;
  },
  async load({ kind, digest, files }) {
    if (kind === 'datasets') datasets.set(digest, decodeDataset(files));
    else models.set(digest, await openModel(files, digest, { connect }));
  },
  evaluate: evaluateLoaded,
  craft: craftLoaded,
  transferMatrix: matrixOfLoaded,
});

async function evaluateLoaded(
  argument: EvaluateArgument,
  { emit, signal }: ComputeContext<Progress | PartialLedger | FailedLedger>,
): Promise<EvaluateResult> {
  const { plan, cascade, assessMasking, keepExamples, keepAdversarial, seed, samples, resume, stateMs } = argument;
  const { shard, ledgers = [], budget, smallestEpsilons, certification } = argument;
  engine ??= createAnnouncedEngine(workerData as AttackerThreadData);
  const { checkpoint, classifier: opened, remarks } = loaded(models, argument.model);
  const classifier = isQueried(opened) && argument.maxQueries > 0 ? budgeted(opened, argument.maxQueries) : opened;
  const dataset = loaded(datasets, argument.dataset);
  const { split, order } = partOf(checkpoint, dataset, argument);
  const indices = samples === 0 ? order : order.slice(0, samples);
  const positions = new Map(indices.map((index, position) => [index, position]));
  const keeper = new ExampleKeeper(plan, keepExamples);
  checkKept(argument, indices.length, dataset.input);
  const nearest = new AdversarialKeeper(keepAdversarial);
  if (resume) keeper.restore(resume);
  let known: Ledger | undefined;
  let told = performance.now();
  const onLedger = (ledger: Ledger) => {
    known = ledger;
    if (stateMs === undefined || performance.now() - told < stateMs) return;
    told = performance.now();
    const { files, buffers } = movable({ ...encodeLedger(ledger), ...keeper.save() });
    emit({ type: 'partial', units: ledger.units.length, files }, buffers);
  };
  const { report, ledger, beyond } = await evaluate(await engine, {
    target: classifier,
    surrogates: argument.surrogates.map((digest) => loaded(models, digest).classifier),
    split,
    indices,
    input: dataset.input,
    plan,
    cascade,
    assessMasking,
    seed,
    ...(Object.keys(budget).length > 0 && { budget }),
    ...(smallestEpsilons > 0 && { smallestEpsilons }),
    ...(certification && { certification }),
    ...(shard ? { shard } : {}),
    ...(ledgers.length > 0 ? { resume: mergeLedgers(ledgers.map(decodeLedger)), reportOnly: true } : {}),
    onProgress: ({ attack, epsilon, cell, cells, attempts, attemptsAtMost }) =>
      emit({ type: 'progress', attack, epsilon, fraction: (cell + attempts / Math.max(attemptsAtMost, 1)) / cells }),
    onExample: (row, image, settings) => {
      keeper.add({ ...row, sample: positions.get(row.sample) ?? 0 }, image, settings);
      nearest.add(row, image, settings);
    },
    onLedger,
    ...(resume ? { resume: decodeLedger(resume) } : {}),
    signal,
  }).catch((error) => {
    // With its seconds, which a budget of seconds goes on from.
    if (known && !signal.aborted) emit({ type: 'failed', attempts: attemptsOf(known), files: encodeLedger(known) });
    throw error;
  });
  const adversarial = await nearest.rounded(await engine, classifier, split, {
    batchSize: report.batchSize,
    seed,
    signal,
  });
  const { files, buffers } = movable({
    ...storedLedger(ledger),
    ...encodeBeyond(beyond),
    ...(keepAdversarial > 0 && { 'adversarial.safetensors': encodeAdversarial(adversarial, dataset.input) }),
  });
  return transferring(
    {
      report,
      step: checkpoint?.step ?? 0,
      epoch: checkpoint?.epoch ?? 0,
      input: classifier.input,
      remarks: [...remarks, ...(resume && keepAdversarial > 0 ? [INTERRUPTED] : [])],
      examples: keeper.all(),
      ledger: files,
    },
    buffers,
  );
}

async function craftLoaded(argument: CraftArgument, { signal }: ComputeContext<never>) {
  engine ??= createAnnouncedEngine(workerData as AttackerThreadData);
  const { checkpoint, classifier } = loaded(models, argument.model);
  if (!checkpoint) throw new ComputeError('NOT_A_CHECKPOINT', `${argument.model} was not trained here`);
  const parts = {
    checkpoint,
    target: classifier,
    surrogates: argument.surrogates.map((digest) => loaded(models, digest).classifier),
    dataset: loaded(datasets, argument.dataset),
  };
  const { files, buffers } = movable(await craftTraining(await engine, parts, argument, signal));
  return transferring({ files }, buffers);
}

async function matrixOfLoaded(
  { models: digests, dataset: digest, plan, samples, seed }: MatrixArgument,
  { emit, signal }: ComputeContext<Progress>,
): Promise<MatrixResult> {
  engine ??= createAnnouncedEngine(workerData as AttackerThreadData);
  const { test: split, input } = loaded(datasets, digest);
  const count = samples === 0 ? split.count : Math.min(samples, split.count);
  const { matrix, predictions } = await transferMatrix(await engine, {
    models: digests.map((each) => loaded(models, each).classifier),
    split,
    indices: Array.from({ length: count }, (_, index) => index),
    input,
    plan,
    seed,
    onProgress: (progress) => emit({ type: 'progress', ...progress }),
    signal,
  });
  const { files, buffers } = movable({ 'predictions.safetensors': predictions });
  return transferring({ matrix, ledger: files }, buffers);
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

const INTERRUPTED =
  'the evaluation was interrupted: adversarial images that were found before are not among those that are kept';

/** Without its seconds, equal evaluations have the same ledger. */
function storedLedger(ledger: Ledger): Files {
  const { 'seconds.json': _, ...stored } = encodeLedger(ledger);
  return stored;
}

function attemptsOf({ units }: Ledger): number {
  return units.reduce((sum, { rows }) => sum + rows.length, 0);
}

async function connect(endpoint: Endpoint): Promise<Oracle> {
  const { endpointNetworks: networks } = workerData as AttackerThreadData;
  return oracleOfEndpoint(openInference({ ...endpoint, networks }), endpoint);
}

/** Adversarial images may take so many bytes together: as they are, rounded, and their originals. */
const MOST_KEPT_BYTES = 512 * 1024 ** 2;
const BYTES_A_NUMBER = 6;

function checkKept({ keepAdversarial, plan }: EvaluateArgument, samples: number, input: readonly number[]): void {
  const norms = new Set(plan.map(({ norm }) => norm)).size;
  const atMost = Math.min(keepAdversarial * norms, samples * plan.reduce((sum, each) => sum + each.epsilons.length, 0));
  const bytes = BYTES_A_NUMBER * input.reduce((product, side) => product * side, 1);
  if (atMost * bytes <= MOST_KEPT_BYTES) return;
  const allowed = Math.floor(MOST_KEPT_BYTES / bytes / norms);
  throw Object.assign(
    new Error(`${keepAdversarial} given; of images of ${input.join('x')} at most ${allowed} a norm can be kept`),
    { reason: 'TOO_MANY_KEPT', field: 'plan.keepAdversarial' },
  );
}

function invalidPart(message: string): Error {
  return Object.assign(new Error(message), { reason: 'INVALID_PART', field: 'plan.part' });
}
