import { readFileSync } from 'node:fs';
import { CreateTrainingRunRequest, EvaluationPlan, type RunEvent, RunState, TrainingServiceClient } from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service';
import { afterEach, describe, expect, it } from 'vitest';
import { GatewayProcess, workersOf } from './support/gateway-process.ts';

// Real processes, killed for real.
const gateways: GatewayProcess[] = [];
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway[Symbol.asyncDispose]();
});

async function started(): Promise<GatewayProcess> {
  const gateway = new GatewayProcess();
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
  const client = connect(TrainingServiceClient, gateway.grpcAddress);
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

describe('processes that are killed', () => {
  it('a trainer: the run has FAILED with the reason in plain words, and the gateway serves on', async () => {
    const gateway = await started();
    const { client, name } = await runUntil(gateway, 'trainingProgress');
    for (const pid of await pidsOf(gateway, 'trainer')) process.kill(pid, 'SIGKILL');
    const state = await lastState(client, name);
    expect(state?.state).toBe(RunState.RUN_STATE_FAILED);
    expect(state?.reason).toMatch(/trainer.*SIGKILL/s);
    expect((await unary(client, 'getTrainingRun', { name })).trainingRun?.state).toBe(RunState.RUN_STATE_FAILED);
    client.close();
  });

  it('an attacker: training goes on, and the run says what happened', async () => {
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
          /SIGKILL|gone|lost/.test(payload.value.change),
      );
      if (gone && event?.payload?.$case === 'epochCompleted' && event.sequence > gone.sequence) break;
    }
    expect((await unary(client, 'getTrainingRun', { name })).trainingRun?.state).toBe(RunState.RUN_STATE_RUNNING);
    await unary(client, 'cancelTrainingRun', { name });
    expect((await lastState(client, name))?.state).toBe(RunState.RUN_STATE_CANCELLED);
    client.close();
  });

  it('the gateway: its workers vanish, and the next gateway says that the run failed', async () => {
    const gateway = await started();
    const { client, name } = await runUntil(gateway, 'trainingProgress');
    client.close();
    await gateway.stop('SIGKILL');
    await nobodyLeft(gateway);
    await gateway.start();
    const again = connect(TrainingServiceClient, gateway.grpcAddress);
    const { trainingRun } = await unary(again, 'getTrainingRun', { name });
    expect(trainingRun?.state).toBe(RunState.RUN_STATE_FAILED);
    expect(trainingRun?.stateReason).toContain('gateway stopped');
    again.close();
  });
});

describe('a data directory', () => {
  it('has one gateway: a second one is told where the first is, and changes nothing', async () => {
    const gateway = await started();
    const second = new GatewayProcess(gateway.data);
    await expect(second.start()).rejects.toThrow(gateway.grpcAddress);
    const client = connect(TrainingServiceClient, gateway.grpcAddress);
    expect((await unary(client, 'listTrainingRuns', { pageSize: 0, pageToken: '' })).trainingRuns).toEqual([]);
    client.close();
  });
});
