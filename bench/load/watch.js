import { setTimeout } from 'node:timers/promises';
import { RunState, TrainingServiceClient, TrainingSpec } from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service/client';
import { quantile } from '../statistics.js';
import { EMITTED } from './emitted.js';
import { eventually, growthDuring, processorSeconds, start } from './processes.js';
/** One watcher, on a connection of its own. */
class Watcher {
    last = 0;
    gaps = 0;
    latencies = [];
    #client;
    #ending = new AbortController();
    done;
    constructor(address, run, isMeasured) {
        this.#client = connect(TrainingServiceClient, { address }, { 'grpc.use_local_subchannel_pool': 1 });
        this.done = this.#watch(run, isMeasured).catch((error) => {
            if (!this.#ending.signal.aborted)
                throw error;
        });
    }
    async end() {
        this.#ending.abort(new DOMException('enough', 'AbortError'));
        await this.done;
        this.#client.close();
    }
    async #watch(name, isMeasured) {
        const request = { name, afterSequence: 0 };
        const events = serverStream(this.#client, 'watchTrainingRun', request, { signal: this.#ending.signal });
        for await (const { event } of events) {
            if (!event)
                continue;
            if (event.sequence !== this.last + 1)
                this.gaps++;
            this.last = event.sequence;
            const emitted = emittedAt(event);
            if (emitted !== undefined && isMeasured())
                this.latencies.push(performance.timeOrigin + performance.now() - emitted);
        }
    }
}
function emittedAt({ payload }) {
    if (payload?.$case !== 'trainingProgress')
        return undefined;
    return payload.value.metrics.find(({ name }) => name === EMITTED)?.value;
}
/** Many watchers of a few live runs. */
export async function measureWatching(plan) {
    const { dataDirectory, databaseUrl, runs, watchers: count, eventsPerSecond, seconds, execArgv } = plan;
    process.env.JSIGR_BENCH_EVENTS = String(eventsPerSecond / runs);
    const options = { dataDirectory, databaseUrl, trainingsAtOnce: runs };
    const gateway = await start('gateway.ts', options, execArgv);
    const { address } = gateway.ready;
    const client = connect(TrainingServiceClient, { address });
    try {
        const names = await Promise.all(Array.from({ length: runs }, () => createRun(client)));
        for (const name of names)
            await eventually(async () => ((await stateOf(client, name)) === RunState.RUN_STATE_RUNNING ? true : undefined), 50, 300_000);
        let measured = false;
        const { result, beforeMB, growthMB } = await growthDuring(gateway.pid, async () => {
            const watchers = [];
            for (let i = 0; i < count; i++) {
                watchers.push(new Watcher(address, names[i % runs] ?? '', () => measured));
                // As people come, not as a flood: what is measured is watching.
                if (i % 20 === 19)
                    await setTimeout(20);
            }
            await eventually(async () => (watchers.every(({ last }) => last > 0) ? true : undefined), 50, 60_000);
            const before = await heads(client, names);
            const [used, at] = [processorSeconds(gateway.pid), performance.now()];
            measured = true;
            await setTimeout(seconds * 1000);
            measured = false;
            const gatewayCores = ((processorSeconds(gateway.pid) - used) / (performance.now() - at)) * 1000;
            const after = await heads(client, names);
            // What was written by now must come to everybody.
            const late = () => watchers.filter(({ last }, i) => last < (after[i % runs] ?? 0)).length;
            await eventually(async () => (late() === 0 ? true : undefined), 50, 10_000).catch(() => undefined);
            const gaps = watchers.reduce((sum, watcher) => sum + watcher.gaps, 0) + late();
            await Promise.all(watchers.map((watcher) => watcher.end()));
            const latencies = watchers.flatMap((watcher) => watcher.latencies);
            return {
                gaps,
                latencies,
                gatewayCores,
                events: after.reduce((sum, head, i) => sum + head - (before[i] ?? 0), 0),
            };
        });
        const at = (share) => quantile(result.latencies, share);
        return {
            deliveries: result.latencies.length,
            events: result.events,
            latencyMs: { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) },
            gaps: result.gaps,
            gatewayCores: result.gatewayCores,
            beforeMB,
            growthMB,
        };
    }
    finally {
        client.close();
        await gateway.stop();
    }
}
export async function createRun(client, requestId = '') {
    const spec = { dataset: 'datasets/glyphs', architecture: 'lenet', objective: 'jsigr', epochs: 1000 };
    const request = { displayName: '', labels: {}, requestId, spec: TrainingSpec.fromPartial(spec) };
    const { trainingRun } = await unary(client, 'createTrainingRun', request);
    return trainingRun?.name ?? '';
}
async function stateOf(client, name) {
    return (await unary(client, 'getTrainingRun', { name })).trainingRun?.state;
}
/** The newest sequence number of each run. */
async function heads(client, names) {
    return Promise.all(names.map(async (name) => (await unary(client, 'getTrainingRun', { name })).trainingRun?.lastSequence ?? 0));
}
