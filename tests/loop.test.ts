import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attackerWorker } from '@jsigr/attacker';
import { decodeExamples } from '@jsigr/attacks';
import { encodeDataset, glyphs } from '@jsigr/datasets';
import {
  AttackerServiceClient,
  Feedback,
  FollowRunRequest,
  type RunEvent,
  RunState,
  StartTrainingRequest,
  TrainerServiceClient,
  type TrainingOutcome,
} from '@jsigr/proto';
import {
  type ArtefactStore,
  connect,
  createLogger,
  directoryArtefactStore,
  type GrpcServer,
  Load,
  type Peer,
  serverStream,
  startGrpcServer,
  unary,
  type WorkerDefinition,
  WorkerDoor,
} from '@jsigr/service';
import { trainerWorker } from '@jsigr/trainer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// The closed loop without a gateway: a trainer and an attacker, each a real gRPC server with its own artefact store.
let root: string;
const servers: GrpcServer[] = [];
const stores: Record<string, ArtefactStore> = {};
let trainer: TrainerServiceClient;
let attacker: AttackerServiceClient;
let datasetDigest: string;
let surrogateDigest: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-loop-'));
  trainer = connect(TrainerServiceClient, await serve(trainerWorker));
  attacker = connect(AttackerServiceClient, await serve(attackerWorker));
  const files = encodeDataset(glyphs({ variant: 'gray28', train: 200, test: 20, seed: 1 }));
  const puts = await Promise.all(Object.values(stores).map((store) => store.put('datasets', files)));
  datasetDigest = puts[0]?.digest ?? '';
  surrogateDigest = await trainSurrogate();
});

afterAll(async () => {
  trainer.close();
  attacker.close();
  for (const server of servers) await server.close(0);
  await rm(root, { recursive: true, force: true });
});

async function serve({ kind, module, services }: WorkerDefinition): Promise<Peer> {
  const token = `token-of-the-${kind}`;
  const door = new WorkerDoor(token);
  const artefacts = directoryArtefactStore(join(root, kind));
  stores[kind] = artefacts;
  const signal = new AbortController().signal;
  const context = {
    artefacts,
    logger: createLogger(kind, 'silent'),
    compute: { threads: 1 },
    signal,
    load: new Load(),
    stateMs: 60_000,
    silenceMs: 0,
    fencingToken: () => undefined,
    onDrain: () => {},
    door,
  };
  const { admit } = door;
  const server = await startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0, admit });
  servers.push(server);
  return { address: server.address, token };
}

const plan = {
  attacks: [
    { attack: 'pgd', norm: 'linf', epsilons: [0.05], settings: { steps: '3' }, keepExamples: 0 },
    { attack: 'mi-fgsm', norm: 'linf', epsilons: [0.05], settings: { steps: '3' }, keepExamples: 0 },
  ],
  samples: 10,
  part: 'held-out',
  surrogates: [],
  seed: 2,
};

async function start(
  run: string,
  epochs: number,
  loop?: { readonly feedback: Feedback; readonly patience?: number; readonly exampleShare?: number },
  objective = 'standard',
): Promise<void> {
  const spec = {
    dataset: 'datasets/glyphs',
    architecture: 'mlp',
    objective,
    epochs,
    batchSize: 32,
    seed: 1,
    ...(loop ? { loop: { enabled: true, plan, ...loop } } : {}),
  };
  await unary(
    trainer,
    'startTraining',
    StartTrainingRequest.fromPartial({ run, spec, datasetDigest, followerToken: 'guest' }),
  );
}

async function watch(run: string): Promise<{ events: RunEvent[]; outcome?: TrainingOutcome }> {
  const events: RunEvent[] = [];
  for await (const { event, outcome } of serverStream(trainer, 'watchTraining', { run, afterSequence: 0 })) {
    if (event) events.push(event);
    if (outcome) return { events, outcome };
  }
  return { events };
}

function modelsOf(events: RunEvent[], kind: 'checkpointSaved' | 'robustnessReported'): string[] {
  return events.flatMap(({ payload }) => (payload?.$case === kind ? [payload.value.model] : []));
}

async function trainSurrogate(): Promise<string> {
  await start('trainingRuns/surrogate', 1);
  const [model = ''] = modelsOf((await watch('trainingRuns/surrogate')).events, 'checkpointSaved');
  const digest = model.replace('models/', '');
  const files = await stores.trainer?.get('models', digest);
  await stores.attacker?.put('models', files ?? {});
  return digest;
}

function following(run: string, trainingExamples = 0): FollowRunRequest {
  return FollowRunRequest.fromPartial({
    run,
    trainerAddress: servers[0]?.address ?? '',
    trainerToken: 'guest',
    datasetDigest,
    surrogateDigests: [surrogateDigest],
    plan,
    dataset: 'datasets/glyphs',
    trainingExamples,
  });
}

/** More epochs than a test has time for: it goes on until it is stopped. */
const ENDLESS = 10_000;

/** Lets the attacker follow until an event is what is waited for, then stops the run; all events until then. */
async function followedUntil(run: string, request: FollowRunRequest, isIt: (event: RunEvent) => boolean) {
  const reports = serverStream(attacker, 'followRun', request);
  const followed = (async () => {
    for await (const _ of reports);
  })().catch(() => undefined);
  const events: RunEvent[] = [];
  for await (const { event } of serverStream(trainer, 'watchTraining', { run, afterSequence: 0 })) {
    if (event) events.push(event);
    if (event && isIt(event)) break;
  }
  await unary(trainer, 'stopTraining', { run, handBack: false });
  await unary(trainer, 'endFollowing', { run });
  await followed;
  return events;
}

describe('the closed loop', () => {
  test('checkpoints reach the attacker, its reports become events, the best model is selected, the last is not skipped', async () => {
    const run = 'trainingRuns/loop';
    await start(run, 5, { feedback: Feedback.FEEDBACK_SELECT });
    const watching = watch(run);
    const followed: number[] = [];
    for await (const { checkpointSequence } of serverStream(attacker, 'followRun', following(run)))
      followed.push(checkpointSequence);
    const { events, outcome } = await watching;

    const saved = modelsOf(events, 'checkpointSaved');
    const reported = modelsOf(events, 'robustnessReported');
    expect(saved).toHaveLength(5);
    // Reports say which bytes they are about: the digest that the trainer stored is the one that the attacker computed from what it received.
    expect(reported).toEqual(followed.map((sequence) => saved[sequence - 1]));
    expect(followed.at(-1)).toBe(5);
    expect(outcome?.state).toBe(RunState.RUN_STATE_SUCCEEDED);
    expect(reported).toContain(outcome?.bestModel);

    const reports = events.flatMap(({ payload }) => (payload?.$case === 'robustnessReported' ? [payload.value] : []));
    for (const report of reports) {
      expect(report).toMatchObject({ part: 'held-out', dataset: 'datasets/glyphs', cleanAccuracy: { trials: 10 } });
      expect(report.epsilons[0]).toMatchObject({ whiteBox: { trials: 10 }, transferred: { trials: 10 } });
      expect(await stores.attacker?.has('ledgers', report.ledger)).toBe(true);
    }
    const best = Math.max(...reports.map(({ epsilons }) => epsilons[0]?.transferred?.value ?? 0));
    const chosen = reports.find(({ model }) => model === outcome?.bestModel);
    expect(chosen?.epsilons[0]?.transferred?.value).toBe(best);
  });

  test('adapts: the penalties of the next epochs are what the reports made of them', async () => {
    const run = 'trainingRuns/adapt';
    await start(run, ENDLESS, { feedback: Feedback.FEEDBACK_ADAPT }, 'jacobian');
    const factorOf = ({ payload }: RunEvent) =>
      payload?.$case === 'epochCompleted'
        ? payload.value.metrics.find(({ name }) => name === 'penalty_factor')?.value
        : undefined;
    const events = await followedUntil(run, following(run), (event) => factorOf(event) !== undefined);
    const told = events.flatMap(({ payload }) => (payload?.$case === 'feedbackTaken' ? [payload.value] : []));
    expect(told[0]?.penaltyFactor).toBe(1.25); // clean accuracy is the best so far
    expect(told.map(({ penaltyFactor }) => penaltyFactor)).toContain(factorOf(events.at(-1) as RunEvent));
    expect(modelsOf(events, 'robustnessReported')).toContain(told[0]?.model);
  });

  test('augments: examples of training images, made by the attacker, are taken from the store', async () => {
    const run = 'trainingRuns/augment';
    await start(run, ENDLESS, { feedback: Feedback.FEEDBACK_AUGMENT, exampleShare: 1 });
    // Examples travel by the store: here the two have different ones, so what the attacker put is carried over.
    const [ours, theirs] = [stores.trainer, stores.attacker];
    const put = theirs?.put.bind(theirs);
    if (!ours || !theirs || !put) throw new Error('a store is missing');
    theirs.put = async (kind, files) => {
      if (kind === 'examples') await ours.put(kind, files);
      return put(kind, files);
    };
    const events = await followedUntil(run, following(run, 16), ({ payload }) => payload?.$case === 'feedbackTaken');
    theirs.put = put;
    expect(events.at(-1)?.payload).toMatchObject({ value: { trainingExamples: 16, penaltyFactor: 0 } });
    const [report] = events.flatMap(({ payload }) => (payload?.$case === 'robustnessReported' ? [payload.value] : []));
    const { indices, images } = decodeExamples(await ours.get('examples', report?.trainingExamples ?? ''));
    expect(new Set(indices).size).toBe(16);
    expect(images).toHaveLength(16 * 28 * 28);
  });

  test('stops early: a training without end ends when a report was no better, with the best one selected', async () => {
    const run = 'trainingRuns/early';
    await start(run, ENDLESS, { feedback: Feedback.FEEDBACK_EARLY_STOP, patience: 1 });
    const watching = watch(run);
    for await (const _ of serverStream(attacker, 'followRun', following(run)));
    const { events, outcome } = await watching;
    expect(outcome).toMatchObject({
      state: RunState.RUN_STATE_SUCCEEDED,
      reason: expect.stringMatching(/^stopped early after step \d+: .* in 1 report$/),
    });
    const selected = events.flatMap(({ payload }) =>
      payload?.$case === 'checkpointSelected' ? [payload.value.model] : [],
    );
    expect(outcome?.bestModel).toBe(selected.at(-1));
    // The last checkpoint is attacked too.
    expect(modelsOf(events, 'robustnessReported').at(-1)).toBe(modelsOf(events, 'checkpointSaved').at(-1));
  });
});
