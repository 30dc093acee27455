/**
 * `KUBEBUILDER_ASSETS=... npm run bench:kubernetes [-- RESULTS]`: what operator and worker pool take at a real control plane (etcd, API server, controller
 * manager, scheduler on this machine, sharing its cores with what is measured). Writes RESULTS.md and RESULTS.json, docs/results/kubernetes unless told.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { openPostgres } from '../../gateway/src/store/database.ts';
import { type Store, storeOn } from '../../gateway/src/store/store.ts';
import { memoryStore, tickingClock } from '../../gateway/src/store/testing.ts';
import { testGateway } from '../../gateway/src/testing/gateway.ts';
import { postgresPrograms, startPostgres } from '../../gateway/src/testing/postgres-server.ts';
import { Cluster } from '../../tests/kubernetes/support/cluster.ts';
import { ControlPlane, missingFor } from '../../tests/kubernetes/support/control-plane.ts';
import { eventually } from '../../tests/kubernetes/support/eventually.ts';
import { install } from '../../tests/kubernetes/support/installation.ts';
import { evaluateMany, evaluateOnNodes, trainMany } from '../../tests/kubernetes/support/many.ts';
import { processorName } from '../peers/machine.ts';
import { quantile } from '../statistics.ts';

const EVALUATIONS = 500;
const NODES = 200;
const RUNS = 100;
const AT_ONCE = 50;
const KILLS = 5;
const MB = 1e6;

const missing = missingFor('full');
if (missing) {
  console.error(`bench:kubernetes needs a control plane: ${missing}`);
  process.exit(2);
}
if (!postgresPrograms()) {
  console.error('bench:kubernetes needs PostgreSQL (Debian: apt-get install postgresql)');
  process.exit(2);
}
const results = process.argv[2] ?? 'docs/results/kubernetes';
const started = new Date();
const machine = {
  ...{ processor: processorName(), cores: availableParallelism(), memoryGb: Math.round(totalmem() / 1e9) },
  ...{ node: process.version, loadBefore: loadAverage() },
};
const postgres = await startPostgres({ isDurable: true });
// The embedded database last: what it takes of this process it does not give back.
const evaluations = {
  server: await benchEvaluations(async () => storeOn(await openPostgres(await postgres.newDatabase()), tickingClock())),
  embedded: await benchEvaluations(memoryStore),
};
const onNodes = await benchOnNodes(await postgres.newDatabase()).finally(() => postgres.close());
const trainings = await benchTrainings();
const takeovers = await benchTakeovers();
const figures = {
  date: started.toISOString(),
  machine: { ...machine, loadAfter: loadAverage() },
  evaluations,
  onNodes,
  trainings,
  takeovers,
};
writeFileSync(`${results}.json`, `${JSON.stringify(figures, undefined, 2)}\n`);
writeFileSync(`${results}.md`, page(figures));
console.log(page(figures));

type Figures = typeof figures;

async function benchEvaluations(open: () => Promise<Store>) {
  const [plane, store] = await Promise.all([ControlPlane.start('api'), open()]);
  await install(plane);
  const gateway = await testGateway(store, { evaluationsAtOnce: 16 });
  const before = process.memoryUsage.rss();
  let peak = before;
  const watching = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 50);
  try {
    const { requests, reconciled, seconds } = await evaluateMany(plane, gateway, EVALUATIONS, 1800);
    return {
      ...{ count: EVALUATIONS, seconds, requestsEach: requests / EVALUATIONS },
      ...{ reconciliations: reconciled.length, ...quantiles('reconcileSeconds', reconciled) },
      ...{ memoryBeforeMb: before / MB, memoryPeakMb: peak / MB },
    };
  } finally {
    clearInterval(watching);
    await gateway.close();
    await plane.stop();
    await store.close();
  }
}

async function benchOnNodes(url: string) {
  const cluster = await Cluster.start({ JSIGR_DATABASE_URL: url, JSIGR_EVALUATIONS_AT_ONCE: '16' });
  try {
    const before = memoryOf(cluster.gateway?.pid);
    const seconds = await evaluateOnNodes(cluster, { count: EVALUATIONS, nodes: NODES, timeoutSeconds: 1800 });
    return {
      ...{ count: EVALUATIONS, nodes: NODES, seconds, gatewayMemoryBeforeMb: before / MB },
      gatewayMemoryPeakMb: memoryOf(cluster.gateway?.pid, 'VmHWM') / MB,
    };
  } finally {
    await cluster.stop();
  }
}

async function benchTrainings() {
  const cluster = await Cluster.start({ JSIGR_TRAININGS_AT_ONCE: String(AT_ONCE) });
  try {
    const before = memoryOf(cluster.gateway?.pid);
    const { states, turns, most, died, starting, seconds } = await trainMany(cluster, {
      runs: RUNS,
      nodes: NODES,
      together: AT_ONCE,
    });
    return {
      ...{ count: RUNS, nodes: NODES, atOnce: AT_ONCE, mostAtOnce: most, died, seconds },
      succeeded: states.filter((state) => state === 'RUN_STATE_SUCCEEDED').length,
      outOfTurn: turns.filter((run, i) => run !== i).length,
      ...quantiles('startingSeconds', starting),
      ...{ gatewayMemoryBeforeMb: before / MB, gatewayMemoryPeakMb: memoryOf(cluster.gateway?.pid, 'VmHWM') / MB },
    };
  } finally {
    await cluster.stop();
  }
}

/** A gateway that leads is killed and started again at once, as a kubelet does it. */
async function benchTakeovers() {
  const cluster = await Cluster.start();
  const holder = async () => (await cluster.get('lease/jsigr-operator')).spec.holderIdentity as string;
  const changed = (from: string) =>
    eventually(async () => {
      const now = await holder();
      if (now === from) throw new Error(`${from} is still the holder`);
    });
  try {
    await eventually(holder);
    const seconds: number[] = [];
    for (let i = 0; i < KILLS; i++) {
      const dead = await holder();
      const killed = performance.now();
      await cluster.stopGateway('SIGKILL');
      await cluster.startGateway();
      await changed(dead);
      seconds.push((performance.now() - killed) / 1000);
    }
    return { count: KILLS, ...quantiles('seconds', seconds) };
  } finally {
    await cluster.stop();
  }
}

function quantiles<Name extends string>(name: Name, values: readonly number[]) {
  const [median, late, most] = [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values)];
  return { [name]: { median, p99: late, most } } as Record<Name, { median: number; p99: number; most: number }>;
}

/** Bytes. @param field VmHWM: the most that it was */
function memoryOf(pid: number | undefined, field = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
}

/** Processes that wanted a core in the last minute: above the number of cores the times say little. */
function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}

function page({ date, machine: where, evaluations, onNodes, trainings: t, takeovers }: Figures): string {
  const { server, embedded } = evaluations;
  const s = (value: number) => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} s`;
  const mb = (value: number) => `${value.toFixed(0)} MB`;
  const row = (...cells: (string | number)[]) => `| ${cells.join(' | ')} |`;
  const both = (name: string, of: (evaluations: typeof server) => string, bound = '') =>
    row(name, of(server), of(embedded), bound);
  return [
    '# On Kubernetes',
    '',
    '    npm run bench:kubernetes',
    '',
    `Written by that command on ${date.slice(0, 10)}: ${where.processor}, ${where.cores} cores, ${where.memoryGb} GB, Node ${where.node}; Kubernetes 1.34's API server, etcd, controller manager and scheduler on the same cores.`,
    `Load average ${where.loadBefore} before and ${where.loadAfter} after: above ${where.cores}, times and not counts are those of a machine that others use too. All figures: [kubernetes.json](kubernetes.json).`,
    '',
    `## ${server.count} RobustnessEvaluations at once`,
    '',
    'Gateway, operator and the program that measures them in one process; attackers that answer at once. Bounds are those of the plan; counts are asserted by `npm run test:kubernetes`.',
    '',
    row('', 'PostgreSQL server', 'embedded database', 'bound'),
    row('---', '---', '---', '---'),
    both('all Complete after', (e) => s(e.seconds)),
    both('requests to the API server, each', (e) => e.requestsEach.toFixed(1), 'below 20'),
    both('reconciliations, each', (e) => (e.reconciliations / e.count).toFixed(1)),
    both('reconcile, median', (e) => s(e.reconcileSeconds.median)),
    both('reconcile, p99', (e) => s(e.reconcileSeconds.p99), 'below 1 s'),
    both('memory that operator and runs add (resident, peak)', (e) => mb(e.memoryPeakMb - e.memoryBeforeMb)),
    both('memory of the process (resident, peak)', (e) => mb(e.memoryPeakMb)),
    '',
    `## ${onNodes.count} RobustnessEvaluations as Jobs on ${onNodes.nodes} nodes`,
    '',
    'The gateway with its operator as a process of its own, with a PostgreSQL server; attackers that speak the worker contract and answer at once.',
    '',
    row('', 'measured', 'bound'),
    row('---', '---', '---'),
    row('all Complete after', s(onNodes.seconds), ''),
    row('memory of the gateway (resident) before', mb(onNodes.gatewayMemoryBeforeMb), ''),
    row('memory of the gateway (resident), peak', mb(onNodes.gatewayMemoryPeakMb), 'below 300 MB'),
    '',
    `## ${t.count} training runs on ${t.nodes} nodes`,
    '',
    `The gateway as a process, ${t.atOnce} runs at once; nodes with a GPU each whose trainers speak the worker contract and do not compute; one in ten dies at its first attempt.`,
    '',
    row('', 'measured', 'bound'),
    row('---', '---', '---'),
    row('runs that succeeded', `${t.succeeded} of ${t.count}`, 'all'),
    row('runs out of turn', t.outOfTurn, '0'),
    row('most at work at once', t.mostAtOnce, `${t.atOnce}`),
    row('trainers that died', t.died, ''),
    row('all ended after', s(t.seconds), ''),
    row(
      'from its turn to training (Job, scheduling, pod, token, registration), median',
      s(t.startingSeconds.median),
      '',
    ),
    row('the same, p99', s(t.startingSeconds.p99), ''),
    row('memory of the gateway (resident) before', mb(t.gatewayMemoryBeforeMb), ''),
    row('memory of the gateway (resident), peak', mb(t.gatewayMemoryPeakMb), ''),
    '',
    '## A gateway that leads is killed',
    '',
    `SIGKILL, and another one is started at once; ${takeovers.count} times. Its Lease of 10 s must pass, seen by the new one.`,
    '',
    row('', 'measured', 'bound'),
    row('---', '---', '---'),
    row('from the kill to another leader, median', s(takeovers.seconds.median), ''),
    row('the same, longest', s(takeovers.seconds.most), 'below 20 s'),
    '',
  ].join('\n');
}
