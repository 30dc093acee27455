export const DATABASES = ['pglite', 'postgresql'];
export const PARTS = ['start', 'watch', 'create', 'list', 'checkpoint'];
const names = { pglite: 'PGlite', postgresql: 'PostgreSQL' };
const CREATES_PER_SECOND = { pglite: 60, postgresql: 200 };
const IDLE_MB = { pglite: 450, postgresql: 200 };
const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const worst = (values) => Math.max(...values);
const range = (values) => values.map((value) => value.toFixed(0)).join(', ');
function rowsOf(measurement) {
    const { part, database = 'pglite', result } = measurement;
    const on = measurement.database ? `, ${names[measurement.database]}` : '';
    const row = (what, value, unit, is, bound, besides = '') => ({
        what: `${what}${on}`,
        value,
        unit,
        is,
        bound,
        besides,
    });
    if (part === 'start')
        return [
            row('first start', worst(result.firstMs), 'ms', 'at most', 5000, range(result.firstMs)),
            row('start on an existing data directory', worst(result.againMs), 'ms', 'at most', 2000, range(result.againMs)),
            row('idle memory after a first start', result.idleAfterFirstMB, 'MB', 'at most', IDLE_MB[database]),
            row('idle memory', result.idleMB, 'MB', 'at most', IDLE_MB[database]),
        ];
    if (part === 'watch') {
        const { latencyMs, deliveries, events, beforeMB, gatewayCores } = result;
        return [
            row('delivery of an event to a watcher, p99', latencyMs.p99, 'ms', 'at most', 500, `p50 ${ms(latencyMs.p50)}, p99.9 ${ms(latencyMs.p999)}, longest ${ms(latencyMs.max)}; ${events} events, ${deliveries} deliveries; the gateway kept ${gatewayCores.toFixed(2)} cores busy`),
            row('events missed, doubled or out of order', result.gaps, '', 'at most', 0),
            row("growth of the gateway's memory by the watchers", result.growthMB, 'MB', 'at most', 250, `from ${beforeMB.toFixed(0)} MB`),
        ];
    }
    if (part === 'create')
        return [
            row('runs created a second', result.perSecond, '/s', 'at least', CREATES_PER_SECOND[database], `slowest second ${result.slowestSecond}; p50 ${ms(result.latencyMs.p50)}, p99 ${ms(result.latencyMs.p99)}; ${result.runs} runs, ${ms(1000 * result.gatewaySeconds)} of the gateway's processor each, memory +${result.growthMB.toFixed(0)} MB`),
            row('created runs that are not listed', result.lost, '', 'at most', 0),
        ];
    if (part === 'list')
        return [
            row(`a page of ${result.runs} runs, p99`, result.latencyMs.p99, 'ms', 'at most', 50, `p50 ${ms(result.latencyMs.p50)}, longest ${ms(result.latencyMs.max)}; ${result.calls} calls`),
        ];
    return ['trainer', 'gateway'].flatMap((sender) => {
        const { megabytesPerSecond, growthMB, beforeMB } = result[sender];
        return [
            row(`checkpoint from the ${sender}, slowest pass`, Math.min(...megabytesPerSecond), 'MB/s', 'at least', 200, range(megabytesPerSecond)),
            row(`growth of the ${sender}'s memory meanwhile`, growthMB, 'MB', 'at most', 64, `from ${beforeMB.toFixed(0)} MB`),
        ];
    });
}
const isHeld = ({ value, is, bound }) => (is === 'at most' ? value <= bound : value >= bound);
/** The page of a run, in Markdown. */
export function loadPage(results) {
    const { date, minutes, processor, node, quietLimit, plan, measurements } = results;
    const disturbed = measurements.filter(({ otherCores }) => otherCores > quietLimit);
    const others = measurements.map(({ otherCores }) => otherCores);
    return [
        '# What a gateway bears',
        '',
        '    npm run bench:load',
        '',
        `${processor}; Node ${node.slice(1)}; gateway, clients, trainers and PostgreSQL share the machine; ${date.slice(0, 16).replace('T', ' ')} UTC, ${minutes.toFixed(1)} minutes. Written by the command; all figures: load.json beside this page.`,
        '',
        disturbed.length > 0
            ? `**The machine was busy:** other programs used up to ${worst(others).toFixed(2)} cores during ${disturbed.length} of ${measurements.length} measurements (more than ${quietLimit}): figures are provisional.`
            : `The machine was quiet: other programs used at most ${worst(others).toFixed(2)} cores during a measurement.`,
        '',
        '| | measured | bound | | besides | others, cores |',
        '| --- | --- | --- | --- | --- | --- |',
        ...measurements.flatMap((measurement) => rowsOf(measurement).map((row) => {
            const { what, value, unit, is, bound, besides } = row;
            const number = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
            const verdict = isHeld(row) ? 'held' : '**NOT HELD**';
            return `| ${what} | ${number} ${unit} | ${is} ${bound} ${unit} | ${verdict} | ${besides} | ${measurement.otherCores.toFixed(2)} |`;
        })),
        '',
        `- **Watchers:** ${plan.watchers}, each on a connection of its own and from the run's first event on, of ${plan.runs} live runs that tell ${plan.eventsPerSecond} events a second in total for ${plan.watchSeconds} s; the time is from the trainer's making the event`,
        "  (its clock goes with it) over the gateway's store to the watcher's having it. The trainers are processes of their own that train nothing.",
        `- **Creations:** ${plan.callers} callers, each with a request id for every run, ${plan.createSeconds} s; PostgreSQL with its own settings (\`fsync\` on), the embedded one as the gateway opens it.`,
        `- **List:** pages of 50 anywhere among ${plan.stored} finished runs with reports and ${10} events each, one call after another; the database was left as its own upkeep leaves it (\`vacuum analyze\`, \`checkpoint\`).`,
        `- **Checkpoint:** ${plan.bytes / 1e6} MB of weights over gRPC on loopback, from a trainer (\`StreamCheckpoints\`) and from the gateway (\`ReadModelFile\`); in the first pass the sender also compares the file with its digest.`,
        '- **Starts:** from the start of the process to the first answer of `/readyz`; idle memory is resident memory after 10 s of nothing. The slowest start counts.',
        '',
    ].join('\n');
}
