import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateTrainingRunRequest,
  Proportion,
  RobustnessReport,
  type RunEvent,
  RunState,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, createLogger, serverStream, unary } from '@jsigr/service';
import { stringify } from 'yaml';
import { runsOf } from '../../../gateway/src/operator/runs.ts';
import { startOperator } from '../../../gateway/src/operator/start-operator.ts';
import type { FakeTrainer } from '../../../gateway/src/testing/fake-workers.ts';
import type { TestGateway } from '../../../gateway/src/testing/gateway.ts';
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
  answerAll(gateway);
  const spec = { model, samples: 10, attacks: [{ name: 'fgsm', epsilons: ['0.1'] }] };
  const kind = { apiVersion: 'jsigr.dev/v1alpha1', kind: 'RobustnessEvaluation' };
  const all = Array.from({ length: count }, (_, i) => stringify({ ...kind, metadata: { name: `many-${i}` }, spec }));
  await plane.kubectl(['create', '-n', NAMESPACE, '-f', '-'], all.join('---\n'));
  const reconciled: number[] = [];
  const began = performance.now();
  const operator = startOperator({
    ...{ client, runs: runsOf(gateway.application, gateway.conductor, gateway.store.runs) },
    ...{ logger: createLogger('operator', 'silent'), onReconciled: (seconds: number) => reconciled.push(seconds) },
  });
  const complete = ['--for=condition=Complete', 'jeval', '--all', `--timeout=${timeoutSeconds}s`];
  await plane.kubectl(['wait', '-n', NAMESPACE, ...complete]);
  const seconds = (performance.now() - began) / 1000;
  await operator.stop();
  return { requests: client.requests, reconciled, seconds };
}

function answerAll({ pool }: TestGateway): void {
  const share = Proportion.fromPartial({ successes: 5, trials: 10, value: 0.5 });
  const report = RobustnessReport.fromPartial({
    cleanAccuracy: share,
    epsilons: [{ norm: 'linf', epsilon: 0.1, whiteBox: share }],
  });
  pool.onAttacker = (attacker) => {
    attacker.say({ $case: 'report', value: report });
    attacker.end();
  };
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

/** So many training runs, one after another created, on so many nodes with a GPU each; one trainer in ten dies at its first attempt. */
export async function trainMany(cluster: Cluster, runs: number, nodes: number): Promise<ManyTrainings> {
  const attempts = new Map<string, number>();
  const simulated = new SimulatedNodes({
    ...{ kubeconfig: cluster.plane.kubeconfig, count: nodes, gateway: () => cluster.grpcAddress },
    onTraining: async (trainer) => work(trainer, attempts),
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
