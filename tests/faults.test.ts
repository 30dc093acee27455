import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateEvaluationRequest,
  CreateTrainingRunRequest,
  EvaluationPlan,
  EvaluationServiceClient,
  ModelServiceClient,
  type RunEvent,
  RunState,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service';
import { afterEach, describe, expect, it } from 'vitest';
import { GatewayProcess, workersOf } from './support/gateway-process.ts';

// Real processes, killed for real.
const gateways: GatewayProcess[] = [];
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway[Symbol.asyncDispose]();
});

async function started(environment: Readonly<Record<string, string>> = {}): Promise<GatewayProcess> {
  const gateway = new GatewayProcess(undefined, environment);
  gateways.push(gateway);
  return gateway.start();
}

const plan = EvaluationPlan.fromPartial({
  attacks: [{ attack: 'pgd', epsilons: [0.1], settings: { steps: '3' } }],
  samples: 64,
  part: 'held-out',
});
const longRun = CreateTrainingRunRequest.fromPartial({
  spec: {
    dataset: 'datasets/glyphs',
    architecture: 'mlp',
    objective: 'standard',
    epochs: 400,
    loop: { enabled: true, plan },
  },
});

type Payload = NonNullable<RunEvent['payload']>['$case'];

/** Starts the run and waits for an event of this kind. */
async function runUntil(gateway: GatewayProcess, kind: Payload) {
  const client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
  const { trainingRun } = await unary(client, 'createTrainingRun', longRun);
  const name = trainingRun?.name ?? '';
  for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 }))
    if (event?.payload?.$case === kind) break;
  return { client, name };
}

/** Process ids of the data directory's workers of a kind. */
async function pidsOf(gateway: GatewayProcess, kind: string): Promise<number[]> {
  const pids = await workersOf(gateway.data);
  return pids.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`services/${kind}/`));
}

async function lastState(client: TrainingServiceClient, name: string) {
  let last: RunEvent | undefined;
  for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 })) last = event;
  return last?.payload?.$case === 'stateChanged' ? last.payload.value : undefined;
}

/** Waits until no process of the data directory is left; the test's own time limit bounds it. */
async function nobodyLeft(gateway: GatewayProcess): Promise<void> {
  while ((await workersOf(gateway.data)).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** J-SIGR with masks and a schedule: whatever a state could forget would show. */
const resumable = (requestId: string) =>
  CreateTrainingRunRequest.fromPartial({
    spec: {
      dataset: 'datasets/glyphs',
      architecture: 'mlp',
      objective: 'jsigr',
      objectiveSettings: { maskWarmupEpochs: '1', maskRefreshEpochs: '2', rampEndEpoch: '3' },
      optimizer: { schedule: 'cosine' },
      augmentation: { cropPadding: 1, noise: 0.05 },
      epochs: 6,
    },
    requestId,
  });

/** What a run's checkpoints hold, by step: digests of weights and optimiser. The manifest names the run. */
async function resultsOf(gateway: GatewayProcess, name: string): Promise<Record<number, string[]>> {
  const models = connect(ModelServiceClient, { address: gateway.grpcAddress });
  const { models: found } = await unary(models, 'listModels', { trainingRun: name, pageSize: 0, pageToken: '' });
  models.close();
  const tensors = found.map(({ step, files }) => [
    step,
    files.filter(({ path }) => path.endsWith('.safetensors')).map(({ sha256 }) => sha256),
  ]);
  return Object.fromEntries(tensors);
}

describe('a training run that is interrupted', () => {
  it('ends with the bytes of one that was not: its trainer killed, its gateway killed, its gateway stopped', async () => {
    const gateway = await started({ JSIGR_STATE_SECONDS: '0.2' });
    let client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
    const whole = (await unary(client, 'createTrainingRun', resumable('whole'))).trainingRun?.name ?? '';
    expect((await lastState(client, whole))?.state).toBe(RunState.RUN_STATE_SUCCEEDED);
    const expected = await resultsOf(gateway, whole);
    expect(Object.keys(expected)).toHaveLength(6);

    const name = (await unary(client, 'createTrainingRun', resumable('parts'))).trainingRun?.name ?? '';
    const seen: RunEvent[] = [];
    /** Watches from where it stood until the run got further than that; then something happens. */
    const until = async (epoch: number) => {
      const afterSequence = seen.at(-1)?.sequence ?? 0;
      for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence })) {
        if (event) seen.push(event);
        if (event?.payload?.$case === 'epochCompleted' && event.payload.value.epoch >= epoch) return;
      }
    };
    await until(1);
    for (const pid of await pidsOf(gateway, 'trainer')) process.kill(pid, 'SIGKILL');
    await until(2);
    client.close();
    await gateway.stop('SIGKILL');
    await nobodyLeft(gateway);
    await gateway.start();
    client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
    await until(4);
    client.close();
    expect(await gateway.stop('SIGTERM')).toBe(0);
    expect(await workersOf(gateway.data)).toEqual([]);
    await gateway.start();
    client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
    await until(Number.POSITIVE_INFINITY);

    const { trainingRun } = await unary(client, 'getTrainingRun', { name });
    expect(trainingRun).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED, retries: 1 });
    expect(await resultsOf(gateway, name)).toEqual(expected);
    expect(seen.map(({ sequence }) => sequence)).toEqual(seen.map((_, i) => i + 1));
    const epochs = seen.flatMap(({ payload }) => (payload?.$case === 'epochCompleted' ? [payload.value.epoch] : []));
    expect(epochs).toEqual([1, 2, 3, 4, 5, 6]);
    const saved = seen.filter(({ payload }) => payload?.$case === 'checkpointSaved');
    expect(saved).toHaveLength(6);
    client.close();
  }, 600_000);
});

describe('a computing thread that hangs', () => {
  it('is ended, of a trainer and of an attacker: the run says so, goes on from what was kept, and ends as ever', async () => {
    const hung = mkdtempSync(join(tmpdir(), 'jsigr-hung-'));
    const gateway = await started({
      JSIGR_SILENCE_SECONDS: '8',
      JSIGR_STATE_SECONDS: '0.2',
      JSIGR_TEST_HUNG: hung,
      NODE_OPTIONS: `--import ${new URL('./support/hang.ts', import.meta.url)}`,
    });
    const silent = 'the computing thread gave no sign of life for 8 s and was ended';
    const client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
    const short = { ...longRun, spec: { ...longRun.spec, epochs: 3, loop: undefined } };
    const { trainingRun } = await unary(
      client,
      'createTrainingRun',
      CreateTrainingRunRequest.fromPartial(short as typeof longRun),
    );
    const name = trainingRun?.name ?? '';
    const reasons: string[] = [];
    const noteReason = ({ payload }: RunEvent) => {
      if (payload?.$case === 'stateChanged') reasons.push(payload.value.reason);
    };
    for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 }))
      if (event) noteReason(event);
    expect(reasons).toContainEqual(expect.stringMatching(`^the trainer: ${silent}; it goes on from step [1-9]`));
    expect(await unary(client, 'getTrainingRun', { name })).toMatchObject({
      trainingRun: { state: RunState.RUN_STATE_SUCCEEDED, retries: 1 },
    });
    const checkpoints = await resultsOf(gateway, name);
    expect(Object.keys(checkpoints)).toHaveLength(3);

    const evaluations = connect(EvaluationServiceClient, { address: gateway.grpcAddress });
    const models = connect(ModelServiceClient, { address: gateway.grpcAddress });
    const [model] = (await unary(models, 'listModels', { trainingRun: name, pageSize: 0, pageToken: '' })).models;
    const attacks = [0.05, 0.1, 0.2].map((epsilon) => ({
      attack: 'pgd',
      epsilons: [epsilon],
      settings: { steps: '40' },
    }));
    const request = { spec: { model: model?.name, dataset: 'datasets/glyphs', plan: { attacks, samples: 96 } } };
    const made = await unary(evaluations, 'createEvaluation', CreateEvaluationRequest.fromPartial(request));
    const evaluation = made.evaluation?.name ?? '';
    for await (const { event } of serverStream(evaluations, 'watchEvaluation', { name: evaluation, afterSequence: 0 }))
      if (event) noteReason(event);
    expect(reasons).toContainEqual(`${silent}; it goes on from its ledger`);
    expect(await unary(evaluations, 'getEvaluation', { name: evaluation })).toMatchObject({
      evaluation: { state: RunState.RUN_STATE_SUCCEEDED, retries: 1 },
    });
    for (const each of [client, evaluations, models]) each.close();
    rmSync(hung, { recursive: true });
  }, 240_000);
});

describe('processes that are killed', () => {
  it('an attacker: training goes on, another one is started, and the run says what happened', async () => {
    const gateway = await started();
    const { client, name } = await runUntil(gateway, 'robustnessReported');
    const seen: RunEvent[] = [];
    const [attacker = 0] = await pidsOf(gateway, 'attacker');
    process.kill(attacker, 'SIGKILL');
    for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 })) {
      if (event) seen.push(event);
      const gone = seen.find(
        ({ payload }) =>
          payload?.$case === 'workerChanged' &&
          payload.value.kind === 'attacker' &&
          /SIGKILL/.test(payload.value.change),
      );
      if (gone && event?.payload?.$case === 'epochCompleted' && event.sequence > gone.sequence) break;
    }
    expect((await unary(client, 'getTrainingRun', { name })).trainingRun?.state).toBe(RunState.RUN_STATE_RUNNING);
    await unary(client, 'cancelTrainingRun', { name, etag: '' });
    expect((await lastState(client, name))?.state).toBe(RunState.RUN_STATE_CANCELLED);
    client.close();
  });
});

describe('a data directory', () => {
  it('has one gateway: a second one is told where the first is, and changes nothing', async () => {
    const gateway = await started();
    const second = new GatewayProcess(gateway.data);
    await expect(second.start()).rejects.toThrow(gateway.grpcAddress);
    const client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
    expect((await unary(client, 'listTrainingRuns', { pageSize: 0, pageToken: '' })).trainingRuns).toEqual([]);
    client.close();
  });

  it('that another gateway has taken meanwhile is left alone: the one that had it ends at once', async () => {
    const gateway = await started();
    const file = join(gateway.data, 'gateway.json');
    const another = { ...JSON.parse(readFileSync(file, 'utf8')), instance: 'another', host: 'elsewhere' };
    writeFileSync(file, JSON.stringify(another));
    if (gateway.process) expect(await once(gateway.process, 'exit')).toEqual([1, null]);
    expect(gateway.output).toMatch(/is that of another gateway by now \(process \d+ on elsewhere\)/);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(another);
    await expect.poll(() => workersOf(gateway.data), { timeout: 10_000 }).toEqual([]);
  });
});
