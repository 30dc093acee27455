// `npm run bench:load -- [parts] [options]`: what a gateway bears. A run of everything writes docs/results/load.md and .json.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { postgresPrograms, startPostgres } from '../../gateway/src/testing/postgres-server.js';
import { CommandLine } from '../command-line.js';
import { processorName } from '../peers/machine.js';
import { measureStreaming } from './checkpoint.js';
import { coldStart } from './cold-start.js';
import { measureCreating } from './create.js';
import { measureListing } from './list.js';
import { othersDuring } from './processes.js';
import { DATABASES, loadPage, PARTS } from './report.js';
import { measureWatching } from './watch.js';
const USAGE = `npm run bench:load -- [${PARTS.join(' ')}] [options]
  --database LIST      of ${DATABASES.join(',')} (default: both; postgresql needs its server's programs)
  --watchers N         (default 1000), each on a connection of its own
  --runs N             live runs that they watch (default 20)
  --events N           events a second of all runs together (default 50)
  --seconds S          of watching (default 25) and of creating (default 12)
  --stored N           runs in the list (default 10000)
  --bytes N            of the checkpoint (default 500000000)
  --quiet-limit C      a measurement is disturbed if other programs used more than C cores (default 0.1)
  --profile FOLDER     CPU profiles of the gateways and the trainer (chrome://inspect, cpupro)
  --out FILE           page and raw figures, without ending (docs/results/load; only of a run of all parts on both databases); - : neither`;
const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        database: { type: 'string', default: DATABASES.join() },
        watchers: { type: 'string', default: '1000' },
        runs: { type: 'string', default: '20' },
        events: { type: 'string', default: '50' },
        seconds: { type: 'string' },
        stored: { type: 'string', default: '10000' },
        bytes: { type: 'string', default: '500000000' },
        'quiet-limit': { type: 'string', default: '0.1' },
        profile: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
    },
});
const line = new CommandLine(USAGE);
if (values.help) {
    console.log(USAGE);
    process.exit(0);
}
const parts = line.listOf('parts', positionals.length > 0 ? positionals : PARTS, PARTS);
const databases = line.listOf('--database', values.database, DATABASES);
const watchers = line.numberOf('watchers', values.watchers, 1, 2000);
const runs = line.numberOf('runs', values.runs, 1, 64);
const eventsPerSecond = line.numberOf('events', values.events, 1, 10_000);
const watchSeconds = line.numberOf('seconds', values.seconds ?? '25', 1, 600);
const createSeconds = line.numberOf('seconds', values.seconds ?? '12', 1, 600);
const stored = line.numberOf('stored', values.stored, 60, 1_000_000);
const bytes = line.numberOf('bytes', values.bytes, 1000, 1e9);
const quietLimit = line.numberOf('quiet-limit', values['quiet-limit'], 0, 64);
if (databases.includes('postgresql') && !postgresPrograms())
    line.refuse('PostgreSQL is not installed (Debian: apt-get install postgresql); --database pglite does without');
const execArgv = values.profile ? ['--cpu-prof', `--cpu-prof-dir=${values.profile}`] : [];
const CALLERS = 16;
const LIST_CALLS = 1500;
const PASSES = 4;
const STARTS = 4;
const IDLE_MS = 10_000;
const began = new Date();
const measurements = [];
const folder = mkdtempSync(join(tmpdir(), 'jsigr-load-'));
const postgres = databases.includes('postgresql') ? await startPostgres({ isDurable: true }) : undefined;
try {
    for (const database of databases) {
        if (parts.includes('start'))
            await measure('start', database, () => measureStarts(database));
        if (parts.includes('watch'))
            await measure('watch', database, async () => measureWatching({
                ...(await place(database)),
                watchers,
                runs,
                eventsPerSecond,
                seconds: watchSeconds,
                execArgv,
            }));
        if (parts.includes('create'))
            await measure('create', database, async () => measureCreating({ ...(await place(database)), callers: CALLERS, seconds: createSeconds, execArgv }));
        if (parts.includes('list'))
            await measure('list', database, async () => measureListing({ ...(await place(database)), runs: stored, calls: LIST_CALLS, execArgv }));
    }
    if (parts.includes('checkpoint'))
        await measure('checkpoint', undefined, async () => measureStreaming({ ...(await place('pglite')), bytes, passes: PASSES, execArgv }));
}
finally {
    await postgres?.close();
    rmSync(folder, { recursive: true, force: true });
}
const results = {
    date: began.toISOString(),
    minutes: (Date.now() - began.getTime()) / 60_000,
    processor: processorName(),
    node: process.version,
    quietLimit,
    plan: { watchers, runs, eventsPerSecond, watchSeconds, createSeconds, callers: CALLERS, stored, bytes },
    measurements,
};
const page = loadPage(results);
console.log(`\n${page}`);
const isWhole = parts.length === PARTS.length && databases.length === DATABASES.length;
const out = values.out ?? (isWhole && !values.profile ? 'docs/results/load' : '-');
if (out !== '-') {
    writeFileSync(`${out}.json`, `${JSON.stringify(results, undefined, 1)}\n`);
    writeFileSync(`${out}.md`, page);
    console.error(`written to ${out}.md and ${out}.json`);
}
process.exitCode = page.includes('**NOT HELD**') ? 1 : 0;
async function measure(part, database, work) {
    console.error(`${part}${database ? ` on ${database}` : ''} ...`);
    const { result, otherCores } = await othersDuring(work);
    measurements.push({ part, database, otherCores, result });
    console.error(JSON.stringify(result));
}
/** A new data directory, and on PostgreSQL a new database. */
async function place(database) {
    const dataDirectory = mkdtempSync(join(folder, 'data-'));
    return database === 'postgresql' && postgres
        ? { dataDirectory, databaseUrl: await postgres.newDatabase() }
        : { dataDirectory };
}
async function measureStarts(database) {
    const { dataDirectory, databaseUrl } = await place(database);
    const first = await coldStart(dataDirectory, databaseUrl, IDLE_MS);
    const again = [];
    for (let i = 0; i < STARTS; i++)
        again.push(await coldStart(dataDirectory, databaseUrl, i === 0 ? IDLE_MS : 0));
    const other = await place(database);
    const firsts = [first, await coldStart(other.dataDirectory, other.databaseUrl, 0)];
    return {
        firstMs: firsts.map(({ readyMs }) => readyMs),
        againMs: again.map(({ readyMs }) => readyMs),
        idleAfterFirstMB: first.idleMB ?? Number.NaN,
        idleMB: again[0]?.idleMB ?? Number.NaN,
    };
}
