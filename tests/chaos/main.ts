// Clients at work while everything goes wrong that a seed asks for; afterwards an oracle says which promises were broken. Ends with 1 if there were any.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CommandLine } from '../../bench/command-line.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../../gateway/src/testing/postgres-server.ts';
import { inWords } from './counts.ts';
import { Campaign, commitOf, machineName } from './record.ts';
import { type Reference, undisturbed } from './reference.ts';
import { runSeed, type SeedResult } from './seed.ts';
import { canMount } from './world.ts';

const USAGE = `npm run chaos -- --seed N --minutes M [--postgres]     one seed, at length, told step by step
npm run chaos -- --seeds A..B [options]                many short ones, a line each
  --seed N       (default 1)
  --minutes M    of disasters (default 2)
  --postgres     runs are kept by a PostgreSQL server, which is mistreated too
  --seeds A..B   odd ones on PGlite, even ones on a PostgreSQL server
  --seconds S    of disasters for each (default 4)
  --lease S      of workers (default 4); where many share the machine a process may be without a processor for longer than this
  --out FILE     JSON, a line for each seed, with a page beside it; seeds that it has already are left out
  --stop         ends at the first seed with a violation
  --verbose      tells seeds of a range step by step too`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '2' },
    postgres: { type: 'boolean', default: false },
    seeds: { type: 'string' },
    seconds: { type: 'string', default: '4' },
    lease: { type: 'string', default: '4' },
    out: { type: 'string' },
    stop: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const line: CommandLine = new CommandLine(USAGE);
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const seed = line.integerOf('seed', values.seed, 1, 2 ** 31);
const minutes = line.numberOf('minutes', values.minutes, 0.01, 1440);
const secondsEach = line.numberOf('seconds', values.seconds, 1, 3600);
const leaseSeconds = line.numberOf('lease', values.lease, 1, 600);
const [, first, last] = (/^(\d+)\.\.(\d+)$/.exec(values.seeds ?? '') ?? []).map(Number);
if (values.seeds !== undefined && !(first && last && first <= last))
  line.refuse(`--seeds is ${values.seeds}; give the first and the last, e.g. 1..200`);

const began = performance.now();
const tell = (text: string) =>
  process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}\n`);

await using resources = new AsyncDisposableStack();
// What is told to stop leaves no process and no mount.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1));
process.once('exit', () => void postgres?.kill());
let postgres: PostgresServer | undefined;
const references = new Map<PostgresServer | undefined, Reference>();

async function server(): Promise<PostgresServer> {
  if (postgres) return postgres;
  const started = await startPostgres();
  resources.defer(() => started.close());
  postgres = started;
  return started;
}

/** Once for each kind of database. */
async function referenceOn(database: PostgresServer | undefined, say: (text: string) => void): Promise<Reference> {
  const known = references.get(database);
  if (known) return known;
  const made = resources.use(await undisturbed(database, say));
  references.set(database, made);
  return made;
}

async function one(
  seed: number,
  options: {
    readonly onPostgres: boolean;
    readonly seconds: number;
    readonly mounts: boolean;
    readonly isTold: boolean;
  },
): Promise<SeedResult> {
  const { onPostgres, seconds, mounts, isTold } = options;
  const say = isTold ? tell : () => {};
  const database = onPostgres ? await server() : undefined;
  const reference = await referenceOn(database, say);
  const result = await runSeed({ seed, seconds, reference, postgres: database, mounts, leaseSeconds, say });
  const { disasters, runs, events, explanations, violations } = result;
  for (const violation of violations) tell(`VIOLATION in seed ${seed}: ${violation}`);
  tell(
    `seed ${seed} (${result.database}, ${result.disk}, ${result.seconds} s): ${inWords(disasters)}; runs: ${inWords(runs)}; ${events} events, ${explanations} explanations, ${violations.length} violations`,
  );
  return result;
}

async function many(first: number, last: number): Promise<number> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const campaign = values.out ? new Campaign(values.out) : undefined;
  const about = {
    commit: commitOf(root),
    machine: machineName(),
    disasterSeconds: secondsEach,
    leaseSeconds,
  };
  const withServer = postgresPrograms() !== undefined;
  if (!withServer) tell('PostgreSQL is not installed: all seeds run on PGlite');
  let violations = 0;
  for (let seed = first; seed <= last; seed++) {
    if (campaign?.has(seed)) continue;
    const result = await one(seed, {
      onPostgres: withServer && seed % 2 === 0,
      seconds: about.disasterSeconds,
      mounts: mountable && seed % 4 >= 2,
      isTold: values.verbose,
    });
    campaign?.add({ ...result, ...about });
    violations += result.violations.length;
    if (violations > 0 && values.stop) break;
  }
  return violations;
}

const mountable = canMount(join(tmpdir(), `jsigr-chaos-${process.pid}`));
if (!mountable) tell('no file system can be mounted here: full disks are the quota of the artefact store');
const violations =
  first === undefined || last === undefined
    ? (
        await one(seed, {
          onPostgres: values.postgres,
          seconds: minutes * 60,
          mounts: mountable && seed % 2 === 0,
          isTold: true,
        })
      ).violations.length
    : await many(first, last);
tell(`${violations} violations`);
await resources.disposeAsync();
process.exit(violations > 0 ? 1 : 0);
