import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateTrainingRunRequest,
  Proportion,
  RobustnessReport,
  type RunEvent,
  RunState,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, createLogger, directoryArtefactStore, serverStream, unary } from '@jsigr/service';
import { stringify } from 'yaml';
import { runsOf } from '../../../gateway/src/operator/runs.ts';
import { startOperator } from '../../../gateway/src/operator/start-operator.ts';
import type { FakeAttacker, FakeTrainer } from '../../../gateway/src/testing/fake-workers.ts';
import { putCheckpoint, saved, type TestGateway } from '../../../gateway/src/testing/gateway.ts';
import type { Cluster } from './cluster.ts';
import type { ControlPlane } from './control-plane.ts';
import { gatewayClient, NAMESPACE } from './installation.ts';
import { SimulatedNodes } from './simulated-nodes.ts';

export interface ManyEvaluations {
  /** Requests to the API server, watches and the lease included. */
  readonly requests: number;
  /** Seconds of each reconciliation. */
  readonly reconciled: readonly number[];
  readonly seconds: number;
}

/** So many RobustnessEvaluations at once, whose attackers find the same at once; returns when all are Complete. */
export async function evaluateMany(
  plane: ControlPlane,
  gateway: TestGateway,
  count: number,
  timeoutSeconds: number,
): Promise<ManyEvaluations> {
  const client = await gatewayClient(plane);
  const model = await gateway.checkpoint(5);
  await gateway.application.models.record(model.replace('models/', ''));
  gateway.pool.onAttacker = answer;
  await createMany(plane, model, count);
  const reconciled: number[] = [];
  const began = performance.now();
  const operator = startOperator({
    ...{ client, runs: runsOf({ ...gateway, store: gateway.store.runs }) },
    ...{ logger: createLogger('operator', 'silent'), onReconciled: (seconds: number) => reconciled.push(seconds) },
  });
  await allComplete(plane, timeoutSeconds);
  const seconds = (performance.now() - began) / 1000;
  await operator.stop();
  return { requests: client.requests, reconciled, seconds };
}

async function createMany(plane: ControlPlane, model: string, count: number): Promise<void> {
  const spec = { model, samples: 10, attacks: [{ name: 'fgsm', epsilons: ['0.1'] }] };
  const kind = { apiVersion: 'jsigr.dev/v1alpha1', kind: 'RobustnessEvaluation' };
  const all = Array.from({ length: count }, (_, i) => stringify({ ...kind, metadata: { name: `many-${i}` }, spec }));
  await plane.kubectl(['create', '-n', NAMESPACE, '-f', '-'], all.join('---\n'));
}

async function allComplete(plane: ControlPlane, timeoutSeconds: number): Promise<void> {
  const complete = ['--for=condition=Complete', 'jeval', '--all', `--timeout=${timeoutSeconds}s`];
  await plane.kubectl(['wait', '-n', NAMESPACE, ...complete]);
}

function answer(attacker: FakeAttacker): void {
  const share = Proportion.fromPartial({ successes: 5, trials: 10, value: 0.5 });
  const report = RobustnessReport.fromPartial({
    cleanAccuracy: share,
    epsilons: [{ norm: 'linf', epsilon: 0.1, whiteBox: share }],
  });
  attacker.say({ $case: 'report', value: report });
  attacker.end();
}

/**
 * The same by the gateway as a process, whose attackers are Jobs on so many nodes with a GPU each. @returns seconds until all are Complete
 */
export async function evaluateOnNodes(
  cluster: Cluster,
  { count, nodes, timeoutSeconds }: { readonly count: number; readonly nodes: number; readonly timeoutSeconds: number },
): Promise<number> {
  const artefacts = directoryArtefactStore(join(cluster.data, 'artefacts'));
  const model = await putCheckpoint(artefacts, 5, 'lenet', 'glyphs');
  const simulated = new SimulatedNodes({
    ...{ kubeconfig: cluster.plane.kubeconfig, count: nodes, gateway: () => cluster.grpcAddress, onAttacker: answer },
    onTraining: async (trainer) => {
      trainer.emit(saved(model, 1));
      trainer.end();
      return 'ended';
    },
  });
  const client = connect(TrainingServiceClient, { address: cluster.grpcAddress });
  try {
    await simulated.start();
    const spec = { dataset: 'datasets/glyphs', architecture: 'lenet', objective: 'standard', epochs: 1 };
    const request = CreateTrainingRunRequest.fromPartial({ spec });
    const { trainingRun } = await unary(client, 'createTrainingRun', request);
    await lifeOf(client, trainingRun?.name ?? '');
    const began = performance.now();
    await createMany(cluster.plane, model, count);
    await allComplete(cluster.plane, timeoutSeconds);
    return (performance.now() - began) / 1000;
  } finally {
    client.close();
    await simulated.stop();
  }
}

export interface ManyTrainings {
  /** States of the runs at their end, in the order in which they were created. */
  readonly states: readonly RunState[];
  /** Numbers of the runs (from 0, in the order in which they were created) in the order in which their turn came. */
  readonly turns: readonly number[];
  /** Most trainers that were at work at the same time. */
  readonly most: number;
  /** Trainers that died at work. */
  readonly died: number;
  /** From the turn of each run to its training, in seconds: Job, scheduling, pod, registration. */
  readonly starting: readonly number[];
  readonly seconds: number;
}

/**
 * So many training runs, one after another created, on so many nodes with a GPU each; one trainer in ten dies at its first attempt.
 * @param together the first ones are at work until so many are at the same time
 */
export async function trainMany(
  cluster: Cluster,
  { runs, nodes, together }: { readonly runs: number; readonly nodes: number; readonly together: number },
): Promise<ManyTrainings> {
  const attempts = new Map<string, number>();
  const simulated: SimulatedNodes = new SimulatedNodes({
    ...{ kubeconfig: cluster.plane.kubeconfig, count: nodes, gateway: () => cluster.grpcAddress },
    onTraining: async (trainer) => {
      for (let waited = 0; simulated.most < together && waited < TOGETHER_MS; waited += WORK_MS) await sleep(WORK_MS);
      return work(trainer, attempts);
    },
  });
  const client = connect(TrainingServiceClient, { address: cluster.grpcAddress });
  try {
    await simulated.start();
    const began = performance.now();
    const names: string[] = [];
    const spec = { dataset: 'datasets/glyphs', architecture: 'mlp', objective: 'standard', epochs: 1 };
    for (let i = 0; i < runs; i++) {
      const request = CreateTrainingRunRequest.fromPartial({ spec, requestId: `many-${i}` });
      names.push((await unary(client, 'createTrainingRun', request)).trainingRun?.name ?? '');
    }
    const lives = await Promise.all(names.map((name) => lifeOf(client, name)));
    const seconds = (performance.now() - began) / 1000;
    const turns = lives.map((life, i) => ({ i, at: timeOf(life, RunState.RUN_STATE_STARTING) }));
    return {
      states: lives.map((life) => life.at(-1)?.state ?? RunState.RUN_STATE_UNSPECIFIED),
      turns: turns.sort((a, b) => a.at - b.at || a.i - b.i).map(({ i }) => i),
      starting: lives.map(
        (life) => (timeOf(life, RunState.RUN_STATE_RUNNING) - timeOf(life, RunState.RUN_STATE_STARTING)) / 1000,
      ),
      ...{ most: simulated.most, died: simulated.died, seconds },
    };
  } finally {
    client.close();
    await simulated.stop();
  }
}

const WORK_MS = 1500;
const TOGETHER_MS = 120_000;
const DIES = 10;

async function work(trainer: FakeTrainer, attempts: Map<string, number>): Promise<'ended' | 'died'> {
  const run = trainer.started?.run ?? '';
  const attempt = (attempts.get(run) ?? 0) + 1;
  attempts.set(run, attempt);
  const number = attempts.size;
  await sleep(WORK_MS);
  if (attempt === 1 && number % DIES === 0) return 'died';
  trainer.end();
  return 'ended';
}

interface Change {
  readonly state: RunState;
  readonly at: number;
}

/** A run's states, to its end. */
async function lifeOf(client: TrainingServiceClient, name: string): Promise<Change[]> {
  const life: Change[] = [];
  for await (const { event } of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 }))
    life.push(...changeIn(event));
  return life;
}

function changeIn(event: RunEvent | undefined): Change[] {
  if (event?.payload?.$case !== 'stateChanged') return [];
  return [{ state: event.payload.value.state, at: event.time?.getTime() ?? Number.NaN }];
}

/** When the run was in that state first. */
function timeOf(life: readonly Change[], wanted: RunState): number {
  return life.find(({ state }) => state === wanted)?.at ?? Number.NaN;
}
