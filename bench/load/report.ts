import type { Streamed } from './checkpoint.ts';
import type { Created } from './create.ts';
import type { Listed } from './list.ts';
import type { Watched } from './watch.ts';

export const DATABASES = ['pglite', 'postgresql'] as const;
export type Database = (typeof DATABASES)[number];
export const PARTS = ['start', 'watch', 'create', 'list', 'checkpoint'] as const;
export type Part = (typeof PARTS)[number];

export interface Starts {
  readonly firstMs: readonly number[];
  readonly againMs: readonly number[];
  readonly idleAfterFirstMB: number;
  readonly idleMB: number;
}

interface Found {
  readonly start: Starts;
  readonly watch: Watched;
  readonly create: Created;
  readonly list: Listed;
  readonly checkpoint: { readonly trainer: Streamed; readonly gateway: Streamed };
}

export type Measurement = {
  readonly [P in Part]: {
    readonly part: P;
    /** Absent where it does not matter. */
    readonly database: Database | undefined;
    /** Cores that other programs kept busy meanwhile. */
    readonly otherCores: number;
    readonly result: Found[P];
  };
}[Part];

export interface Results {
  readonly date: string;
  readonly minutes: number;
  readonly processor: string;
  readonly node: string;
  readonly quietLimit: number;
  readonly plan: Readonly<
    Record<
      'watchers' | 'runs' | 'eventsPerSecond' | 'watchSeconds' | 'createSeconds' | 'callers' | 'stored' | 'bytes',
      number
    >
  >;
  readonly measurements: readonly Measurement[];
}

/** One thing that a gateway is held to. */
interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly bound: number;
  /** The value may be at most, or must be at least, the bound. */
  readonly is: 'at most' | 'at least';
  readonly besides: string;
}

const names: Record<Database, string> = { pglite: 'PGlite', postgresql: 'PostgreSQL' };
const CREATES_PER_SECOND: Record<Database, number> = { pglite: 60, postgresql: 200 };
const IDLE_MB: Record<Database, number> = { pglite: 450, postgresql: 200 };
const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const worst = (values: readonly number[]) => Math.max(...values);
const range = (values: readonly number[]) => values.map((value) => value.toFixed(0)).join(', ');

function rowsOf(measurement: Measurement): Row[] {
  const { part, database = 'pglite', result } = measurement;
  const on = measurement.database ? `, ${names[measurement.database]}` : '';
  const row = (what: string, value: number, unit: string, is: Row['is'], bound: number, besides = ''): Row => ({
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
      row(
        'delivery of an event to a watcher, p99',
        latencyMs.p99,
        'ms',
        'at most',
        500,
        `p50 ${ms(latencyMs.p50)}, p99.9 ${ms(latencyMs.p999)}, longest ${ms(latencyMs.max)}; ${events} events, ${deliveries} deliveries; the gateway kept ${gatewayCores.toFixed(2)} cores busy`,
      ),
      row('events missed, doubled or out of order', result.gaps, '', 'at most', 0),
      row(
        "growth of the gateway's memory by the watchers",
        result.growthMB,
        'MB',
        'at most',
        250,
        `from ${beforeMB.toFixed(0)} MB`,
      ),
    ];
  }
  if (part === 'create')
    return [
      row(
        'runs created a second',
        result.perSecond,
        '/s',
        'at least',
        CREATES_PER_SECOND[database],
        `slowest second ${result.slowestSecond}; p50 ${ms(result.latencyMs.p50)}, p99 ${ms(result.latencyMs.p99)}; ${result.runs} runs, ${ms(1000 * result.gatewaySeconds)} of the gateway's processor each, memory +${result.growthMB.toFixed(0)} MB`,
      ),
      row('created runs that are not listed', result.lost, '', 'at most', 0),
    ];
  if (part === 'list')
    return [
      row(
        `a page of ${result.runs} runs, p99`,
        result.latencyMs.p99,
        'ms',
        'at most',
        50,
        `p50 ${ms(result.latencyMs.p50)}, longest ${ms(result.latencyMs.max)}; ${result.calls} calls`,
      ),
    ];
  return (['trainer', 'gateway'] as const).flatMap((sender) => {
    const { megabytesPerSecond, growthMB, beforeMB } = result[sender];
    return [
      row(
        `checkpoint from the ${sender}, slowest pass`,
        Math.min(...megabytesPerSecond),
        'MB/s',
        'at least',
        200,
        range(megabytesPerSecond),
      ),
      row(
        `growth of the ${sender}'s memory meanwhile`,
        growthMB,
        'MB',
        'at most',
        64,
        `from ${beforeMB.toFixed(0)} MB`,
      ),
    ];
  });
}

const isHeld = ({ value, is, bound }: Row) => (is === 'at most' ? value <= bound : value >= bound);

/** The page of a run, in Markdown. */
export function loadPage(results: Results): string {
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
    ...measurements.flatMap((measurement) =>
      rowsOf(measurement).map((row) => {
        const { what, value, unit, is, bound, besides } = row;
        const number = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
        const verdict = isHeld(row) ? 'held' : '**NOT HELD**';
        return `| ${what} | ${number} ${unit} | ${is} ${bound} ${unit} | ${verdict} | ${besides} | ${measurement.otherCores.toFixed(2)} |`;
      }),
    ),
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
