import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attackerWorker } from '@jsigr/attacker';
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
  serverStream,
  startGrpcServer,
  unary,
  type WorkerDefinition,
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

async function serve({ kind, module, services }: WorkerDefinition): Promise<string> {
  const artefacts = directoryArtefactStore(join(root, kind));
  stores[kind] = artefacts;
  const signal = new AbortController().signal;
  const context = {
    artefacts,
    logger: createLogger(kind, 'silent'),
    compute: { threads: 1 },
    signal,
    load: new Load(),
  };
  const server = await startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0 });
  servers.push(server);
  return server.address;
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

async function start(run: string, epochs: number, loop: boolean): Promise<void> {
  const spec = {
    dataset: 'datasets/glyphs',
    architecture: 'mlp',
    objective: 'standard',
    epochs,
    batchSize: 32,
    seed: 1,
    ...(loop ? { loop: { enabled: true, feedback: Feedback.FEEDBACK_SELECT, plan } } : {}),
  };
  await unary(trainer, 'startTraining', StartTrainingRequest.fromPartial({ run, spec, datasetDigest }));
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
  await start('trainingRuns/surrogate', 1, false);
  const [model = ''] = modelsOf((await watch('trainingRuns/surrogate')).events, 'checkpointSaved');
  const digest = model.replace('models/', '');
  const files = await stores.trainer?.get('models', digest);
  await stores.attacker?.put('models', files ?? {});
  return digest;
}

describe('the closed loop', () => {
  test('checkpoints reach the attacker, its reports become events, the best model is selected, the last is not skipped', async () => {
    const run = 'trainingRuns/loop';
    await start(run, 5, true);
    const watching = watch(run);
    const followed: number[] = [];
    const request = FollowRunRequest.fromPartial({
      run,
      trainerAddress: servers[0]?.address ?? '',
      datasetDigest,
      surrogateDigests: [surrogateDigest],
      plan,
      dataset: 'datasets/glyphs',
    });
    for await (const { checkpointSequence } of serverStream(attacker, 'followRun', request))
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
});
