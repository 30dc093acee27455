import { setTimeout } from 'node:timers/promises';
import { RunState } from '@jsigr/proto';
import type { PostgresServer } from '../../gateway/src/testing/postgres-server.ts';
import { Clients } from './clients.ts';
import { type Counts, counts } from './counts.ts';
import { disasters } from './disasters.ts';
import { observe } from './observe.ts';
import { type Observations, violationsOf } from './oracle.ts';
import { explanationsOf, recipes } from './recipes.ts';
import type { Reference } from './reference.ts';
import { type ActionKind, drawn, type Planned, type Schedule, scheduleOf } from './schedule.ts';
import { World } from './world.ts';

const SETTLE_MS = 600_000;
const LAST_ANSWERS_MS = 60_000;
/** Runs that are not finished, at most: more would only wait. */
const MOST_OPEN = 4;

export interface SeedOptions {
  readonly seed: number;
  /** Of disasters; then everything comes to its end. */
  readonly seconds: number;
  readonly reference: Reference;
  readonly postgres: PostgresServer | undefined;
  /** A file system of limited size holds the artefacts; else the store's own quota limits them. */
  readonly mounts: boolean;
  /** Of workers, in seconds. */
  readonly leaseSeconds: number;
  readonly say: (text: string) => void;
}

export interface SeedResult {
  readonly seed: number;
  readonly database: 'PGlite' | 'PostgreSQL';
  readonly disk: 'quota' | 'tmpfs';
  /** Disasters that struck something, by kind. */
  readonly disasters: Readonly<Counts>;
  /** Runs beside the undisturbed ones, by how they ended. */
  readonly runs: Readonly<Counts>;
  readonly events: number;
  /** Workers that came or went, as the events say. */
  readonly workers: number;
  readonly explanations: number;
  readonly walks: number;
  readonly resent: number;
  readonly seconds: number;
  readonly violations: readonly string[];
}

/** Clients at work, disasters, rest, judgement. */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const { seed, seconds, reference, postgres, mounts, leaseSeconds } = options;
  const began = performance.now();
  const schedule = scheduleOf(seed, seconds, postgres !== undefined);
  const url = await postgres?.newDatabase(reference.database);
  await using world = await World.open({
    template: reference.data,
    postgres: postgres && url ? { server: postgres, url } : undefined,
    mounts,
    // A few times what it will hold, so that nothing but a disaster fills it.
    leaseSeconds,
    storeBytes: (40 + seconds) * 2 ** 20,
  });
  await world.gateway.start();
  const clients = new Clients(() => world.address, `seed-${seed}`);
  using _ = { [Symbol.dispose]: () => clients.stop() };
  for (const each of reference.acknowledged) clients.acknowledged.set(each.name, each);
  const [struck] = await Promise.all([
    mistreat(world, clients, schedule.disasters, options.say),
    use(clients, schedule.actions, options),
  ]);
  options.say('no more disasters: everything comes to its end');
  await settle(clients, options);
  const seen = await observe(clients, world.gateway.data);
  await clients.collectGarbage();
  const code = await world.gateway.stop('SIGTERM');
  if (code !== 0) clients.faults.push(`the gateway stopped with ${code}: ${world.gateway.output.slice(-1000)}`);
  const observations: Observations = {
    ...seen,
    ...reference,
    acknowledged: [...clients.acknowledged.values()],
    resent: clients.resent,
    walks: clients.walks,
    watched: clients.watched,
    explained: clients.explained,
    storeWasFull: struck.fillDisk !== undefined,
    leftBehind: await world.leftBehind(),
  };
  const own = seen.runs.filter(({ name }) => !reference.acknowledged.some((each) => each.name === name));
  const events = own.flatMap(({ name }) => seen.events.get(name) ?? []);
  return {
    seed,
    database: postgres ? 'PostgreSQL' : 'PGlite',
    disk: mounts ? 'tmpfs' : 'quota',
    disasters: struck,
    runs: counts(own.map(({ state }) => RunState[state].replace('RUN_STATE_', ''))),
    events: events.length,
    workers: events.filter(({ payload }) => payload?.$case === 'workerChanged').length,
    explanations: clients.explained.length,
    walks: clients.walks.length,
    resent: clients.resent.length,
    seconds: Math.round((performance.now() - began) / 100) / 10,
    violations: [...clients.faults, ...violationsOf(observations)],
  };
}

/** @returns how often each kind struck */
async function mistreat(
  world: World,
  clients: Clients,
  planned: Schedule['disasters'],
  say: (text: string) => void,
): Promise<Counts> {
  const began = performance.now();
  const background: Promise<unknown>[] = [];
  const struck: string[] = [];
  for (const { atMs, kind, draws } of planned) {
    await setTimeout(Math.max(0, atMs - (performance.now() - began)));
    const happened = await disasters[kind]({
      world,
      draws,
      say,
      fault: (text) => clients.faults.push(text),
      later: (work) => background.push(work()),
      // Even of a store that is just being filled a run may say so.
      onStoreFull: () => struck.push(kind),
    });
    if (happened && kind !== 'fillDisk') struck.push(kind);
  }
  await Promise.all(background);
  await world.heal();
  return counts(struck);
}

/** Clients do what is planned, at its time, whatever became of what they did before. */
async function use(clients: Clients, planned: Schedule['actions'], { reference, say }: SeedOptions): Promise<void> {
  const began = performance.now();
  let open = 0;
  const create = async (recipe: string, cuts: readonly number[]) => {
    open++;
    const name = await clients.create(recipe, reference.model);
    say(`created ${name} (${recipe})`);
    background(clients.watch(name, cuts).finally(() => open--));
  };
  const perform: Readonly<Record<ActionKind, (draws: Planned<ActionKind>['draws']) => Promise<unknown> | undefined>> = {
    create: ([which, first, second]) =>
      open < MOST_OPEN
        ? create(
            drawn(recipes, which) ?? '',
            [first, second].map((draw) => Math.round(500 + 3000 * draw)),
          )
        : undefined,
    resend: ([which]) => {
      const known = drawn([...clients.acknowledged.values()], which);
      return known && clients.resend(known, reference.model);
    },
    watch: ([which, cutMs]) => {
      const name = drawn([...clients.acknowledged.keys()], which);
      return name ? clients.watch(name, [Math.round(200 + 2000 * cutMs)]) : undefined;
    },
    cancel: ([which]) => {
      const own = [...clients.acknowledged.keys()].slice(reference.acknowledged.length);
      const name = drawn(own, which);
      return name ? clients.cancel(name) : undefined;
    },
    explain: ([which]) => clients.explain(reference.model, Math.floor(which * explanationsOf(reference.model).length)),
    list: ([which, size]) => clients.list(which < 0.7 ? 'trainingRuns' : 'evaluations', 1 + Math.floor(3 * size)),
  };
  for (const { atMs, kind, draws } of planned) {
    await setTimeout(Math.max(0, atMs - (performance.now() - began)));
    background(perform[kind](draws));
  }
}

/** What goes wrong in there is among the clients' faults. */
function background(work: Promise<unknown> | undefined): void {
  work?.catch(() => undefined);
}

/** Waits until every run has ended and everybody has an answer, within limits. */
async function settle(clients: Clients, { reference, seed }: SeedOptions): Promise<void> {
  // There is an explainer again, whatever became of the last one.
  background(clients.explain(reference.model, seed % explanationsOf(reference.model).length));
  let open = await clients.open();
  for (const until = performance.now() + SETTLE_MS; open.length > 0 && performance.now() < until; ) {
    await setTimeout(200);
    open = await clients.open();
  }
  if (open.length > 0) clients.faults.push(`runs did not end: ${open.join(', ')}`);
  for (const until = performance.now() + LAST_ANSWERS_MS; clients.waiting.size > 0 && performance.now() < until; )
    await setTimeout(50);
  if (clients.waiting.size > 0) clients.faults.push(`not answered: ${[...clients.waiting].join(', ')}`);
}
