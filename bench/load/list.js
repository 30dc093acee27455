import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { RobustnessReport, TrainingProgress, TrainingServiceClient } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';
import pg from 'pg';
import { quantile } from '../statistics.js';
import { start } from './processes.js';
import { createRun } from './watch.js';
const EVENTS_EACH = 10;
/** Pages of a long list: the first one, and those that page tokens lead to. */
export async function measureListing(plan) {
    const { dataDirectory, databaseUrl, calls, execArgv } = plan;
    process.env.JSIGR_BENCH_EVENTS = '1';
    const options = { dataDirectory, databaseUrl, trainingsAtOnce: 1 };
    const first = await start('gateway.ts', options);
    const client = connect(TrainingServiceClient, { address: first.ready.address });
    const name = await createRun(client);
    client.close();
    await first.stop();
    await fill(plan, name.replace('trainingRuns/', ''));
    const gateway = await start('gateway.ts', options, execArgv);
    const listing = connect(TrainingServiceClient, { address: gateway.ready.address });
    try {
        const times = [];
        let pageToken = '';
        let last = [];
        const list = async (measured) => {
            const asked = performance.now();
            const page = await unary(listing, 'listTrainingRuns', { pageSize: 0, pageToken });
            if (measured)
                times.push(performance.now() - asked);
            if (page.trainingRuns.length === 0)
                throw new Error('an empty page');
            last = page.trainingRuns;
            pageToken = page.nextPageToken;
        };
        for (let i = 0; i < 50; i++)
            await list(false);
        pageToken = '';
        for (let i = 0; i < calls; i++)
            await list(true);
        const found = await count(listing);
        return {
            runs: found,
            calls,
            latencyMs: { p50: quantile(times, 0.5), p99: quantile(times, 0.99), max: quantile(times, 1) },
            pageBytes: last.reduce((sum, run) => sum + JSON.stringify(run).length, 0),
        };
    }
    finally {
        listing.close();
        await gateway.stop();
    }
}
async function count(client) {
    let found = 0;
    for (let pageToken = '';;) {
        const page = await unary(client, 'listTrainingRuns', { pageSize: 1000, pageToken });
        found += page.trainingRuns.length;
        pageToken = page.nextPageToken;
        if (!pageToken)
            return found;
    }
}
/** Copies of a run as it stands after its end: with progress, a report of several attacks, and events. */
async function fill({ dataDirectory, databaseUrl, runs }, id) {
    const report = RobustnessReport.fromPartial({
        model: `models/${'a'.repeat(64)}`,
        dataset: 'datasets/glyphs',
        part: 'held-out',
        cleanAccuracy: proportion(495),
        attacks: ['fgsm', 'pgd', 'mi-fgsm', 'square'].flatMap((attack) => [0.05, 0.1, 0.2, 0.3].map((epsilon) => ({
            attack,
            norm: 'linf',
            epsilon,
            attempts: 1,
            forwards: 10_000,
            backwards: 10_000,
            seconds: 1.5,
            attackSuccess: proportion(95),
            robustAccuracy: proportion(400),
        }))),
    });
    const summary = {
        progress: TrainingProgress.toJSON(TrainingProgress.fromPartial({ step: 1000, totalSteps: 1000 })),
        latestModel: report.model,
        bestModel: report.model,
    };
    const statements = [
        `insert into runs (id, tenant, kind, display_name, spec, state, reason, create_time, start_time, end_time,
        last_sequence, state_sequence, labels, summary, report)
      select 'run' || n, tenant, kind, 'run ' || n, spec, 'RUN_STATE_SUCCEEDED', 'trained 1000 steps', create_time, create_time,
        create_time, ${EVENTS_EACH}, ${EVENTS_EACH}, labels, '${JSON.stringify(summary)}'::jsonb,
        '${JSON.stringify({ latestReport: RobustnessReport.toJSON(report) })}'::json
      from runs, generate_series(1, ${runs - 1}) n where id = '${id}'`,
        `insert into run_events (run, sequence, time, payload)
      select 'run' || n, sequence, now(), jsonb_build_object('sequence', sequence, 'time', now(), 'trainingProgress',
        jsonb_build_object('step', sequence, 'totalSteps', ${EVENTS_EACH}))
      from generate_series(1, ${runs - 1}) n, generate_series(1, ${EVENTS_EACH}) sequence`,
        // As a database is that did not take in all of this a moment ago: its own work on it is done.
        'vacuum analyze',
        'checkpoint',
    ];
    if (databaseUrl === undefined) {
        const database = await PGlite.create(join(dataDirectory, 'db'));
        for (const statement of statements)
            await database.exec(statement);
        await database.close();
    }
    else {
        const database = new pg.Client({ connectionString: databaseUrl });
        await database.connect();
        for (const statement of statements)
            await database.query(statement);
        await database.end();
    }
}
function proportion(successes) {
    const value = successes / 500;
    return { successes, trials: 500, value, lower: value - 0.03, upper: value + 0.03, confidence: 0.95 };
}
