import { Random } from './random.ts';

/** What goes wrong, and how often against each other. Those in `databaseDisasters` only where a PostgreSQL server keeps the runs. */
const disasters = {
  killTrainer: 6,
  killAttacker: 4,
  killExplainer: 4,
  /** SIGTERM to a worker. */
  stopWorker: 3,
  /** SIGSTOP to a worker, for longer than its lease or not. */
  freezeWorker: 3,
  killGateway: 4,
  stopGateway: 2,
  /** Of connections of one group: see `groups`. */
  cutStreams: 3,
  truncateStreams: 3,
  slowStreams: 3,
  fillDisk: 2,
  jumpClock: 3,
} as const;
const databaseDisasters = { killDatabase: 2, cutDatabase: 4, truncateDatabase: 2, slowDatabase: 2 } as const;

export type DisasterKind = keyof typeof disasters | keyof typeof databaseDisasters;
export const disasterKinds = Object.keys({ ...disasters, ...databaseDisasters }) as readonly DisasterKind[];

/** What clients do, and how often against each other. */
const actions = { create: 6, resend: 3, watch: 3, cancel: 2, explain: 8, list: 3 } as const;
export type ActionKind = keyof typeof actions;

/** Connections that are disturbed together: of clients to the gateway, of workers to the gateway, of the gateway and of attackers to workers. */
export const groups = ['clients', 'registrations', 'workers'] as const;

export interface Planned<K> {
  /** Milliseconds from the beginning. What takes its time delays what comes after it. */
  readonly atMs: number;
  readonly kind: K;
  /** In [0,1): whatever has to be chosen when it happens. */
  readonly draws: readonly [number, number, number];
}

export interface Schedule {
  readonly disasters: readonly Planned<DisasterKind>[];
  readonly actions: readonly Planned<ActionKind>[];
}

/** The same for the same seed, whatever happens. @param seconds of disasters */
export function scheduleOf(seed: number, seconds: number, withDatabase: boolean): Schedule {
  const random = new Random(seed);
  const weights = { ...disasters, ...(withDatabase ? databaseDisasters : {}) } as Readonly<
    Record<DisasterKind, number>
  >;
  // At first everything is quiet: there must be something to disturb.
  const [quietMs, pauseMs] = [
    Math.min(1000, seconds * 100),
    seconds > 20 ? ([500, 5000] as const) : ([200, 1200] as const),
  ];
  return {
    disasters: series(random, { fromMs: quietMs, toMs: seconds * 1000, pauseMs, weights }),
    actions: [
      // Whatever the rest is, something is created, and explained.
      { atMs: 0, kind: 'create', draws: draw(random) },
      { atMs: 0, kind: 'create', draws: draw(random) },
      { atMs: 0, kind: 'explain', draws: draw(random) },
      ...series(random, { fromMs: 0, toMs: seconds * 1000, pauseMs: [50, 600], weights: actions }),
    ],
  };
}

function series<K extends string>(
  random: Random,
  of: {
    readonly fromMs: number;
    readonly toMs: number;
    readonly pauseMs: readonly [number, number];
    readonly weights: Readonly<Record<K, number>>;
  },
): Planned<K>[] {
  const planned: Planned<K>[] = [];
  for (let atMs = of.fromMs; ; ) {
    atMs += random.between(...of.pauseMs);
    if (atMs >= of.toMs) return planned;
    planned.push({ atMs: Math.round(atMs), kind: random.choose(of.weights), draws: draw(random) });
  }
}

function draw(random: Random): [number, number, number] {
  return [random.next(), random.next(), random.next()];
}

/** The item that a draw falls on; undefined of none. */
export function drawn<T>(items: readonly T[], draw: number): T | undefined {
  return items[Math.floor(draw * items.length)];
}
