import { isDeepStrictEqual } from 'node:util';
import { type RobustnessReport, type RunEvent, RunState } from '@jsigr/proto';

/** What was seen of a gateway that was mistreated, after everything has come to rest. */
export interface Observations {
  /** Creations that a client got an answer to. */
  readonly acknowledged: readonly Acknowledged[];
  /** Requests that were made again under their id. */
  readonly resent: readonly Asked[];
  /** Runs that the lists show in the end. */
  readonly runs: readonly SeenRun[];
  /** Lists that clients went through by pages meanwhile. */
  readonly walks: readonly Walk[];
  /** All events of each run, by its name. */
  readonly events: ReadonlyMap<string, readonly RunEvent[]>;
  /** What those who watched were sent, over all their connections. */
  readonly watched: readonly Watched[];
  /** Answers to requests for explanations. */
  readonly explained: readonly Explained[];
  /** Checkpoints: digests of weights and optimiser. */
  readonly models: readonly {
    readonly name: string;
    readonly run: string;
    readonly step: number;
    readonly tensors: string;
  }[];
  /** Rows of each ledger that a report names. */
  readonly ledgers: ReadonlyMap<string, readonly string[]>;
  /** Artefacts whose bytes are not those of their digest, and ledgers or models that events name and nobody has. */
  readonly damaged: readonly string[];
  /** What undisturbed runs of the same recipe gave: tensors by step, or the figures of the report. */
  readonly expected: ReadonlyMap<string, unknown>;
  /** Figures of an undisturbed loop's reports, by `recipe step`. */
  readonly expectedReports: ReadonlyMap<string, unknown>;
  /** Undisturbed answers, by the number of the request. */
  readonly expectedExplanations: ReadonlyMap<number, Explanation>;
  /** Figures of the reports of evaluations that succeeded. */
  readonly figures: ReadonlyMap<string, unknown>;
  /** The store was full for a while: runs may have failed by that, and must say so. */
  readonly storeWasFull: boolean;
  /** Processes, temporary files and mounts that nobody needs any more. */
  readonly leftBehind: readonly string[];
}

export interface Acknowledged {
  readonly requestId: string;
  readonly name: string;
  readonly recipe: string;
  /** Somebody asked for its end; a client got an answer to that. */
  readonly cancelAsked: boolean;
  readonly cancelled: boolean;
}

export interface Asked {
  readonly requestId: string;
  /** Run that the first answer named, and a later one. */
  readonly first: string;
  readonly again: string;
}

export interface Walk {
  /** Runs that were acknowledged before the first page was asked for. */
  readonly before: readonly string[];
  /** Of all pages, in their order. */
  readonly shown: readonly string[];
}

export interface Watched {
  readonly run: string;
  readonly events: readonly RunEvent[];
  /** The stream ended as one does after the last event. */
  readonly ended: boolean;
}

export interface Explained {
  /** Number of the request, see `explanationsOf`. */
  readonly which: number;
  readonly answer: Explanation;
}

export interface Explanation {
  readonly predicted: number;
  readonly target: number;
  readonly probabilities: readonly number[];
  readonly attribution: readonly number[];
  readonly isOverlaid: boolean;
}

export interface SeenRun {
  readonly name: string;
  readonly state: RunState;
  readonly reason: string;
  readonly lastSequence: number;
  readonly isSurrogate: boolean;
}

const { RUN_STATE_QUEUED: QUEUED, RUN_STATE_STARTING: STARTING, RUN_STATE_RUNNING: RUNNING } = RunState;
const { RUN_STATE_SUCCEEDED: SUCCEEDED, RUN_STATE_FAILED: FAILED, RUN_STATE_CANCELLED: CANCELLED } = RunState;
/** Worked out by hand, apart from the gateway's own table. */
const lawful: Partial<Record<RunState, readonly RunState[]>> = {
  [QUEUED]: [STARTING, FAILED, CANCELLED],
  [STARTING]: [QUEUED, STARTING, RUNNING, FAILED, CANCELLED],
  [RUNNING]: [QUEUED, STARTING, SUCCEEDED, FAILED, CANCELLED],
};

/** Every promise that was broken, in plain words; none: empty. */
export function violationsOf(seen: Observations): string[] {
  return [
    ...acknowledgedRuns(seen),
    ...requests(seen),
    ...walks(seen),
    ...seen.runs.flatMap((run) => [
      ...sequences(run, seen),
      ...states(run, seen),
      ...onceOnly(run, seen),
      ...accounted(run, seen),
    ]),
    ...watchers(seen),
    ...results(seen),
    ...reports(seen),
    ...explanations(seen),
    ...ledgers(seen),
    ...seen.damaged.map((what) => `damaged: ${what}`),
    ...seen.leftBehind.map((what) => `left behind: ${what}`),
  ];
}

function acknowledgedRuns({ acknowledged, runs, storeWasFull }: Observations): string[] {
  const found = new Map(runs.map((run) => [run.name, run]));
  const names = acknowledged.map(({ name }) => name);
  return [
    ...acknowledged.filter(({ name }) => !found.has(name)).map(({ name }) => `lost: ${name} was acknowledged`),
    ...names.filter((name, i) => names.indexOf(name) !== i).map((name) => `${name} answers two request ids`),
    ...runs
      .filter(({ name, isSurrogate }) => !isSurrogate && !names.includes(name))
      .map(({ name }) => `doubled: ${name} is nobody's`),
    ...acknowledged.flatMap(({ name, cancelAsked, cancelled }) => {
      const { state, reason = '' } = found.get(name) ?? {};
      if (cancelled && state !== CANCELLED) return [`${name} was cancelled, and is ${state}`];
      if (state === SUCCEEDED || (state === CANCELLED && cancelAsked)) return [];
      if (state === FAILED && storeWasFull && /is full/.test(reason)) return [];
      return state === undefined ? [] : [`${name} ended as ${state}: ${reason}`];
    }),
  ];
}

function requests({ resent }: Observations): string[] {
  return resent
    .filter(({ first, again }) => first !== again)
    .map(({ requestId, first, again }) => `doubled: ${requestId} was ${first}, and again ${again}`);
}

function walks({ walks }: Observations): string[] {
  return walks.flatMap(({ before, shown }) => [
    ...before.filter((name) => !shown.includes(name)).map((name) => `a list by pages did not show ${name}`),
    ...shown.filter((name, i) => shown.indexOf(name) !== i).map((name) => `a list by pages showed ${name} twice`),
  ]);
}

function sequences({ name, lastSequence }: SeenRun, { events }: Observations): string[] {
  const numbers = (events.get(name) ?? []).map(({ sequence }) => sequence);
  const gap = numbers.findIndex((sequence, i) => sequence !== i + 1);
  if (gap >= 0) return [`${name}: event ${gap + 1} is numbered ${numbers[gap]}`];
  return numbers.length === lastSequence
    ? []
    : [`${name}: ${numbers.length} events, the last is said to be ${lastSequence}`];
}

function states({ name, state }: SeenRun, { events }: Observations): string[] {
  const changes = payloads(events.get(name), 'stateChanged');
  const passed = changes.map((change) => change.state);
  const first = passed[0] === QUEUED ? [] : [`${name} begins as ${passed[0]}`];
  const steps = passed.slice(1).flatMap((to, i) => {
    const from = passed[i] ?? QUEUED;
    // One of several attackers was lost, and has been replaced: an evaluation in shards says so, and runs on.
    const goesOn = from === RUNNING && to === RUNNING && /, the others go on$/.test(changes[i + 1]?.reason ?? '');
    return goesOn || lawful[from]?.includes(to) ? [] : [`${name} went from ${from} to ${to}`];
  });
  const last = passed.at(-1) === state ? [] : [`${name} is ${state}, its last event says ${passed.at(-1)}`];
  const open = lawful[state] ? [`${name} has not ended: ${state}`] : [];
  return [...first, ...steps, ...last, ...open];
}

/** What must be said once, and in order. */
function onceOnly({ name }: SeenRun, { events }: Observations): string[] {
  const own = events.get(name);
  const epochs = payloads(own, 'epochCompleted').map(({ epoch }) => epoch);
  const reported = payloads(own, 'robustnessReported').map(({ model }) => model);
  const skipped = payloads(own, 'checkpointsSkipped').flatMap(({ models }) => models);
  const rising = (what: string, numbers: readonly number[]) =>
    numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0))
      ? []
      : [`${name}: ${what} ${numbers.join(' ')} are not each once, in order`];
  const selected = payloads(own, 'checkpointSelected').map(({ robustAccuracy }) => robustAccuracy?.value ?? 0);
  return [
    ...rising(
      'steps',
      payloads(own, 'trainingProgress').map(({ step }) => step),
    ),
    ...rising(
      'checkpoints of steps',
      payloads(own, 'checkpointSaved').map(({ step }) => step),
    ),
    ...rising('epochs', epochs),
    ...rising('accuracies of selected checkpoints', selected),
    ...(epochs.some((epoch, i) => epoch !== i + 1) ? [`${name}: an epoch is missing among ${epochs.join(' ')}`] : []),
    ...(new Set(reported).size < reported.length ? [`${name}: a checkpoint was reported twice`] : []),
    ...(new Set(skipped).size < skipped.length ? [`${name}: a checkpoint was said to be skipped twice`] : []),
  ];
}

/** Of a loop that ended well: each of its checkpoints was attacked, or said to be skipped; and what is said is said of its checkpoints. */
function accounted({ name, state }: SeenRun, { events, acknowledged }: Observations): string[] {
  const own = events.get(name);
  const saved = payloads(own, 'checkpointSaved').map(({ model }) => model);
  const reported = payloads(own, 'robustnessReported').map(({ model }) => model);
  const settled = [...reported, ...payloads(own, 'checkpointsSkipped').flatMap(({ models }) => models)];
  const recipe = acknowledged.find((each) => each.name === name)?.recipe ?? '';
  if (!LOOPS.includes(recipe)) return [];
  const strange = settled.filter((model) => !saved.includes(model));
  const chosen = payloads(own, 'checkpointSelected').filter(({ model }) => !reported.includes(model));
  const open = state === SUCCEEDED ? saved.filter((model) => !settled.includes(model)) : [];
  return [
    ...strange.map((model) => `${name}: ${model} was attacked or skipped, and is none of its checkpoints`),
    ...chosen.map(({ model }) => `${name}: ${model} was selected, and never reported on`),
    ...open.map((model) => `${name}: nobody says what became of ${model}: neither report nor skip`),
  ];
}

/** Recipes whose checkpoints are attacked while they train. */
export const LOOPS: readonly string[] = ['loop', 'select'];

function watchers({ watched, events }: Observations): string[] {
  return watched.flatMap(({ run, events: sent, ended }) => {
    const stored = events.get(run) ?? [];
    const wrong = sent.find((event, i) => event.sequence !== i + 1);
    if (wrong) return [`${run}: a watcher got event ${wrong.sequence} out of turn`];
    const other = sent.find((event) => !isDeepStrictEqual(event, stored[event.sequence - 1]));
    if (other) return [`${run}: a watcher got an event ${other.sequence} that is not the one that is stored`];
    if (!ended) return [`${run}: a watcher was never told the end`];
    return sent.length === stored.length
      ? []
      : [`${run}: a watcher's stream ended after event ${sent.length} of ${stored.length}`];
  });
}

function results({ acknowledged, runs, models, events, expected, figures }: Observations): string[] {
  const ended = new Map(runs.map(({ name, state }) => [name, state]));
  return acknowledged.flatMap(({ name, recipe }) => {
    const saved = payloads(events.get(name), 'checkpointSaved').map(({ model }) => model);
    const own = models.filter(({ run }) => run === name);
    const missing = saved.filter((model) => !own.some((each) => each.name === model));
    const lost = missing.map((model) => `${name}: ${model} was saved, and is not listed`);
    if (ended.get(name) !== SUCCEEDED) return lost;
    const found = figures.get(name) ?? Object.fromEntries(own.map(({ step, tensors }) => [step, tensors]));
    return isDeepStrictEqual(found, expected.get(recipe))
      ? lost
      : [...lost, `${name}: its result is not that of an undisturbed ${recipe}`];
  });
}

/** What an attacker says of a checkpoint depends on nothing but the checkpoint. */
function reports({ acknowledged, events, expectedReports }: Observations): string[] {
  return acknowledged.flatMap(({ name, recipe }) =>
    payloads(events.get(name), 'robustnessReported').flatMap((report) => {
      const expected = expectedReports.get(`${recipe} ${report.step}`);
      return expected === undefined || isDeepStrictEqual(reportFigures(report), expected)
        ? []
        : [`${name}: the report of step ${report.step} is not that of an undisturbed ${recipe}`];
    }),
  );
}

type Payload = NonNullable<RunEvent['payload']>;
type Values = { [P in Payload as P['$case']]: P['value'] };

/** Of a checkpoint's report: what does not depend on the run's name and on time. */
export function reportFigures({ cleanAccuracy, attacks, epsilons, step }: RobustnessReport): unknown {
  return { step, cleanAccuracy, epsilons, attacks: attacks.map((attack) => ({ ...attack, seconds: 0 })) };
}

/** Of the largest value: requests that come together are computed together, and sums in a batch of another size are rounded otherwise. */
const ROUNDING = 1e-3;

function explanations({ explained, expectedExplanations }: Observations): string[] {
  const isSame = (answer: Explanation, expected: Explanation | undefined) =>
    expected !== undefined &&
    answer.predicted === expected.predicted &&
    answer.target === expected.target &&
    answer.isOverlaid === expected.isOverlaid &&
    isNear(answer.probabilities, expected.probabilities) &&
    isNear(answer.attribution, expected.attribution);
  return explained
    .filter(({ which, answer }) => !isSame(answer, expectedExplanations.get(which)))
    .map(({ which }) => `the answer to the request for explanation ${which} is not the undisturbed one`);
}

function isNear(values: readonly number[], expected: readonly number[]): boolean {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isRight = (value: number, i: number) => Math.abs(value - (expected[i] ?? Number.NaN)) <= ROUNDING * largest;
  return values.length === expected.length && values.every(isRight);
}

function ledgers({ ledgers }: Observations): string[] {
  return [...ledgers].flatMap(([ledger, rows]) => {
    const seen = new Set<string>();
    const twice = rows.find((row) => seen.size === seen.add(row).size);
    return twice === undefined ? [] : [`ledger ${ledger}: the row ${twice} is there twice`];
  });
}

function payloads<K extends keyof Values>(events: readonly RunEvent[] | undefined, kind: K): Values[K][] {
  return (events ?? []).flatMap(({ payload }) => (payload?.$case === kind ? [payload.value as Values[K]] : []));
}
