import { TrainingServiceClient } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';
import { quantile } from '../statistics.ts';
import { growthDuring, processorSeconds, start } from './processes.ts';
import { createRun } from './watch.ts';

export interface CreatePlan {
  readonly dataDirectory: string;
  readonly databaseUrl?: string;
  /** Clients that create one run after another. */
  readonly callers: number;
  readonly seconds: number;
  readonly execArgv: readonly string[];
}

export interface Created {
  readonly runs: number;
  readonly perSecond: number;
  /** In the slowest of the whole seconds. */
  readonly slowestSecond: number;
  readonly latencyMs: Readonly<Record<'p50' | 'p99' | 'max', number>>;
  /** Acknowledged runs that the list does not have. */
  readonly lost: number;
  /** Processor seconds of the gateway for each run. */
  readonly gatewaySeconds: number;
  readonly growthMB: number;
}

/** As many runs as the callers can create, each under a request id of its own; one runs, the others are queued. */
export async function measureCreating(plan: CreatePlan): Promise<Created> {
  const { dataDirectory, databaseUrl, callers, seconds, execArgv } = plan;
  process.env.JSIGR_BENCH_EVENTS = '1';
  const options = { dataDirectory, databaseUrl, trainingsAtOnce: 1 };
  const gateway = await start<{ address: string }>('gateway.ts', options, execArgv);
  const { address } = gateway.ready;
  const clients = Array.from({ length: callers }, () =>
    connect(TrainingServiceClient, { address }, { 'grpc.use_local_subchannel_pool': 1 }),
  );
  try {
    // The first run makes the dataset.
    await Promise.all(clients.map((client) => createRun(client)));
    const acknowledged: { readonly name: string; readonly at: number; readonly ms: number }[] = [];
    const used = processorSeconds(gateway.pid);
    const began = performance.now();
    const until = began + seconds * 1000;
    const create = async (client: TrainingServiceClient, caller: number) => {
      for (let i = 0; performance.now() < until; i++) {
        const asked = performance.now();
        const name = await createRun(client, `caller-${caller}-${i}`);
        const at = performance.now();
        acknowledged.push({ name, at: at - began, ms: at - asked });
      }
    };
    const { growthMB } = await growthDuring(gateway.pid, () => Promise.all(clients.map(create)));
    const gatewaySeconds = (processorSeconds(gateway.pid) - used) / acknowledged.length;
    const inSecond = Array.from({ length: seconds }, () => 0);
    for (const { at } of acknowledged) {
      const second = Math.floor(at / 1000);
      if (second < seconds) inSecond[second] = (inSecond[second] ?? 0) + 1;
    }
    const listed = new Set(await allNames(clients[0] as TrainingServiceClient));
    const times = acknowledged.map(({ ms }) => ms);
    return {
      runs: acknowledged.length,
      perSecond: inSecond.reduce((sum, count) => sum + count, 0) / seconds,
      slowestSecond: Math.min(...inSecond),
      latencyMs: { p50: quantile(times, 0.5), p99: quantile(times, 0.99), max: quantile(times, 1) },
      lost: acknowledged.filter(({ name }) => !listed.has(name)).length,
      gatewaySeconds,
      growthMB,
    };
  } finally {
    for (const client of clients) client.close();
    await gateway.stop();
  }
}

async function allNames(client: TrainingServiceClient): Promise<string[]> {
  const names: string[] = [];
  for (let pageToken = ''; ; ) {
    const page = await unary(client, 'listTrainingRuns', { pageSize: 1000, pageToken });
    names.push(...page.trainingRuns.map(({ name }) => name));
    pageToken = page.nextPageToken;
    if (!pageToken) return names;
  }
}
