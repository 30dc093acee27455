import { TrainingServiceClient } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';
import { quantile } from '../statistics.js';
import { growthDuring, processorSeconds, start } from './processes.js';
import { createRun } from './watch.js';
/** As many runs as the callers can create, each under a request id of its own; one runs, the others are queued. */
export async function measureCreating(plan) {
    const { dataDirectory, databaseUrl, callers, seconds, execArgv } = plan;
    process.env.JSIGR_BENCH_EVENTS = '1';
    const options = { dataDirectory, databaseUrl, trainingsAtOnce: 1 };
    const gateway = await start('gateway.ts', options, execArgv);
    const { address } = gateway.ready;
    const clients = Array.from({ length: callers }, () => connect(TrainingServiceClient, { address }, { 'grpc.use_local_subchannel_pool': 1 }));
    try {
        // The first run makes the dataset.
        await Promise.all(clients.map((client) => createRun(client)));
        const acknowledged = [];
        const used = processorSeconds(gateway.pid);
        const began = performance.now();
        const until = began + seconds * 1000;
        const create = async (client, caller) => {
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
            if (second < seconds)
                inSecond[second] = (inSecond[second] ?? 0) + 1;
        }
        const listed = new Set(await allNames(clients[0]));
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
    }
    finally {
        for (const client of clients)
            client.close();
        await gateway.stop();
    }
}
async function allNames(client) {
    const names = [];
    for (let pageToken = '';;) {
        const page = await unary(client, 'listTrainingRuns', { pageSize: 1000, pageToken });
        names.push(...page.trainingRuns.map(({ name }) => name));
        pageToken = page.nextPageToken;
        if (!pageToken)
            return names;
    }
}
