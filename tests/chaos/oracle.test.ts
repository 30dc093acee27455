import { Proportion, RobustnessReport, RunEvent, RunState } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { type Explanation, type Observations, reportFigures, violationsOf } from './oracle.ts';

const { RUN_STATE_QUEUED, RUN_STATE_STARTING, RUN_STATE_RUNNING } = RunState;
const { RUN_STATE_SUCCEEDED, RUN_STATE_FAILED, RUN_STATE_CANCELLED } = RunState;
type Payload = NonNullable<RunEvent['payload']>;
const state = (to: RunState, reason = ''): Payload => ({ $case: 'stateChanged', value: { state: to, reason } });
const epoch = (number: number): Payload => ({
  $case: 'epochCompleted',
  value: { epoch: number, metrics: [], seconds: 1 },
});
const saved = (step: number): Payload => ({
  $case: 'checkpointSaved',
  value: { model: `models/${step}`, step, epoch: step, heldOutAccuracy: 0.5 },
});
const numbered = (payloads: readonly Payload[]) =>
  payloads.map((payload, i) => ({ ...RunEvent.fromPartial({}), sequence: i + 1, payload }));

const life = [RUN_STATE_QUEUED, RUN_STATE_STARTING, RUN_STATE_RUNNING, RUN_STATE_STARTING, RUN_STATE_RUNNING].map(
  (to) => state(to),
);
const good = numbered([...life, epoch(1), saved(1), epoch(2), saved(2), state(RUN_STATE_SUCCEEDED)]);
const [run, recipe] = ['trainingRuns/a', 'plain'];

const explanation = (change: Partial<Explanation> = {}): Explanation => ({
  predicted: 3,
  target: 3,
  probabilities: [0.2, 0.8],
  attribution: [0.5, -0.25, 0],
  isOverlaid: true,
  ...change,
});

function observations(change: Partial<Observations> = {}): Observations {
  return {
    acknowledged: [{ requestId: 'r1', name: run, recipe, cancelAsked: false, cancelled: false }],
    runs: [{ name: run, state: RUN_STATE_SUCCEEDED, reason: '', lastSequence: good.length, isSurrogate: false }],
    events: new Map([[run, good]]),
    resent: [{ requestId: 'r1', first: run, again: run }],
    walks: [{ before: [run], shown: [run] }],
    watched: [{ run, events: good, ended: true }],
    explained: [{ which: 1, answer: explanation() }],
    models: [1, 2].map((step) => ({ name: `models/${step}`, run, step, tensors: `t${step}` })),
    ledgers: new Map([['l1', ['clean sample 0', 'sample 0, attempt 0', 'sample 0, attempt 1']]]),
    damaged: [],
    expected: new Map([[recipe, { 1: 't1', 2: 't2' }]]),
    expectedReports: new Map(),
    expectedExplanations: new Map([[1, explanation()]]),
    figures: new Map(),
    storeWasFull: false,
    leftBehind: [],
    ...change,
  };
}
const withEvents = (payloads: readonly Payload[]) => {
  const events = numbered(payloads);
  const [seen] = observations().runs;
  return observations({
    events: new Map([[run, events]]),
    runs: seen ? [{ ...seen, lastSequence: events.length }] : [],
    watched: [],
  });
};
/** Of a loop: two checkpoints, the first reported on and selected, the second skipped; changed as told. */
const reported = (step: number, robust = 5): Payload => ({
  $case: 'robustnessReported',
  value: RobustnessReport.fromPartial({
    model: `models/${step}`,
    step,
    cleanAccuracy: { successes: 9, trials: 10, value: 0.9 },
    epsilons: [{ norm: 'linf', epsilon: 0.1, transferred: { successes: robust, trials: 10, value: robust / 10 } }],
    seconds: Math.random(),
  }),
});
const selected = (step: number, value = 0.5): Payload => ({
  $case: 'checkpointSelected',
  value: {
    model: `models/${step}`,
    step,
    norm: 'linf',
    epsilon: 0.1,
    robustAccuracy: Proportion.fromPartial({ value }),
  },
});
const skipped = (step: number): Payload => ({
  $case: 'checkpointsSkipped',
  value: { models: [`models/${step}`], reason: 'slow' },
});
const loop = (...said: readonly Payload[]) => {
  const [first] = observations().acknowledged;
  const payloads = [...life, epoch(1), saved(1), epoch(2), saved(2), ...said, state(RUN_STATE_SUCCEEDED)];
  const first1 = reported(1);
  return {
    ...withEvents(payloads),
    acknowledged: first ? [{ ...first, recipe: 'loop' }] : [],
    expected: new Map([['loop', { 1: 't1', 2: 't2' }]]),
    expectedReports: new Map(
      first1.$case === 'robustnessReported' ? [['loop 1', reportFigures(first1.value)] as const] : [],
    ),
  };
};
const acknowledged = (change: object) => {
  const [first] = observations().acknowledged;
  return first ? [{ ...first, ...change }] : [];
};

describe('the oracle of the chaos test', () => {
  it('has nothing to say where nothing is wrong', () => {
    expect(violationsOf(observations())).toEqual([]);
    expect(violationsOf(loop(reported(1), selected(1), skipped(2)))).toEqual([]);
  });

  it('lets a batch of another size round otherwise', () => {
    const answer = explanation({ attribution: [0.5000001, -0.2499999, 1e-7] });
    expect(violationsOf(observations({ explained: [{ which: 1, answer }] }))).toEqual([]);
  });

  it('lets a run go on running where one of several workers was lost, and nowhere else', () => {
    const walk = (reason: string) =>
      violationsOf(
        withEvents([
          ...life,
          ...[epoch(1), saved(1), epoch(2), saved(2)],
          state(RUN_STATE_RUNNING, reason),
          state(RUN_STATE_SUCCEEDED),
        ]),
      );
    expect(walk('the attacker was killed; shard 1 of 2 goes on from its ledger, the others go on')).toEqual([]);
    expect(walk('the trainer was killed').join()).toMatch(/went from RUN_STATE_RUNNING to RUN_STATE_RUNNING/);
  });

  it('lets a run fail by a full store, where it was full, and nowhere else', () => {
    const failed = (storeWasFull: boolean, reason: string) => {
      const seen = withEvents([...life, state(RUN_STATE_FAILED)]);
      const runs = seen.runs.map((each) => ({ ...each, state: RUN_STATE_FAILED, reason }));
      return violationsOf({ ...seen, runs, storeWasFull });
    };
    expect(failed(true, 'the artefact store is full: it holds 100 bytes')).toEqual([]);
    expect(failed(false, 'the artefact store is full: it holds 100 bytes').join()).toMatch(/ended as/);
    expect(failed(true, 'the network is down').join()).toMatch(/ended as .* the network is down/);
  });

  // Each fault is one that a gateway could have; the oracle must see every one.
  const faults: [string, Observations, RegExp][] = [
    ['a run that was acknowledged and is lost', observations({ runs: [] }), /^lost: trainingRuns\/a/],
    [
      'a run that a repeated request made twice',
      observations({
        runs: [
          ...observations().runs,
          { name: 'trainingRuns/b', state: RUN_STATE_SUCCEEDED, reason: '', lastSequence: 0, isSurrogate: false },
        ],
        events: new Map([[run, good]]),
      }),
      /^doubled: trainingRuns\/b/,
    ],
    [
      'a cancellation that was forgotten',
      observations({ acknowledged: acknowledged({ cancelAsked: true, cancelled: true }) }),
      /was cancelled, and is RUN_STATE_SUCCEEDED/,
    ],
    [
      'a run that ended without being asked to',
      withEvents([state(RUN_STATE_QUEUED), state(RUN_STATE_CANCELLED)]),
      /is RUN_STATE_SUCCEEDED, its last event says RUN_STATE_CANCELLED/,
    ],
    [
      'an event that is lost',
      observations({ events: new Map([[run, good.filter((_, i) => i !== 4)]]) }),
      /event 5 is numbered 6/,
    ],
    [
      'a state that was jumped over',
      withEvents([state(RUN_STATE_QUEUED), state(RUN_STATE_RUNNING), state(RUN_STATE_SUCCEEDED)]),
      /went from RUN_STATE_QUEUED to RUN_STATE_RUNNING/,
    ],
    [
      'something after the end',
      withEvents([...good.flatMap(({ payload }) => payload ?? []), state(RUN_STATE_STARTING)]),
      /went from RUN_STATE_SUCCEEDED/,
    ],
    [
      'an epoch that is told twice',
      withEvents([...life, epoch(1), epoch(1), saved(1), saved(2), state(RUN_STATE_SUCCEEDED)]),
      /epochs 1 1 are not each once/,
    ],
    [
      'an epoch that is missing',
      withEvents([...life, epoch(2), saved(1), saved(2), state(RUN_STATE_SUCCEEDED)]),
      /an epoch is missing/,
    ],
    [
      'a checkpoint that is told twice',
      withEvents([...life, saved(1), saved(1), saved(2), state(RUN_STATE_SUCCEEDED)]),
      /checkpoints of steps 1 1 2/,
    ],
    [
      'a watcher who missed something',
      observations({ watched: [{ run, events: good.filter((_, i) => i !== 3), ended: true }] }),
      /a watcher got event 5 out of turn/,
    ],
    [
      'a watcher who was told what is not stored',
      observations({ watched: [{ run, events: numbered([state(RUN_STATE_STARTING)]), ended: true }] }),
      /is not the one that is stored/,
    ],
    [
      'a checkpoint that is lost',
      observations({ models: observations().models.slice(1) }),
      /models\/1 was saved, and is not listed/,
    ],
    [
      'weights that an interruption changed',
      observations({ models: observations().models.map((model) => ({ ...model, tensors: 'other' })) }),
      /its result is not that of an undisturbed plain/,
    ],
    ['an artefact that is damaged', observations({ damaged: ['models/1'] }), /^damaged: models\/1/],
    [
      'a watcher who waits for ever',
      observations({ watched: [{ run, events: good.slice(0, -1), ended: false }] }),
      /a watcher was never told the end/,
    ],
    [
      'a stream that ends too soon',
      observations({ watched: [{ run, events: good.slice(0, -1), ended: true }] }),
      /stream ended after event 9 of 10/,
    ],
    [
      'a request that was made again and made another run',
      observations({ resent: [{ requestId: 'r1', first: run, again: 'trainingRuns/b' }] }),
      /^doubled: r1 was trainingRuns\/a, and again trainingRuns\/b/,
    ],
    [
      'a list that leaves a run out',
      observations({ walks: [{ before: [run, 'trainingRuns/b'], shown: [run] }] }),
      /by pages did not show trainingRuns\/b/,
    ],
    [
      'a list that shows a run on two pages',
      observations({ walks: [{ before: [run], shown: [run, run] }] }),
      /by pages showed trainingRuns\/a twice/,
    ],
    ...(
      [
        ['an explanation with another map', { attribution: [0.5, -0.26, 0] }],
        ['an explanation that is cut short', { attribution: [0.5, -0.25] }],
        ['an explanation of another class', { target: 1 }],
        ['an explanation with other probabilities', { probabilities: [0.8, 0.2] }],
        ['an explanation without the overlay that was asked for', { isOverlaid: false }],
        ['an explanation that is no number', { attribution: [Number.NaN, -0.25, 0] }],
      ] as const
    ).map(([what, change]): [string, Observations, RegExp] => [
      what,
      observations({ explained: [{ which: 1, answer: explanation(change) }] }),
      /explanation 1 is not the undisturbed one/,
    ]),
    [
      'an answer to another request',
      observations({ explained: [{ which: 2, answer: explanation() }] }),
      /explanation 2 is not the undisturbed one/,
    ],
    [
      'a row of a ledger that is there twice',
      observations({ ledgers: new Map([['l1', ['sample 0, attempt 0', 'sample 0, attempt 0']]]) }),
      /^ledger l1: the row sample 0, attempt 0 is there twice/,
    ],
    [
      'a report with other figures than the undisturbed one',
      loop(reported(1, 6), selected(1, 0.6), skipped(2)),
      /report of step 1 is not that of an undisturbed loop/,
    ],
    [
      'a report that is told twice',
      loop(reported(1), reported(1), selected(1), skipped(2)),
      /a checkpoint was reported twice/,
    ],
    ['a checkpoint that was neither attacked nor skipped', loop(reported(1), selected(1)), /neither report nor skip/],
    ['a skip that is told twice', loop(reported(1), selected(1), skipped(2), skipped(2)), /said to be skipped twice/],
    [
      'a report on what is no checkpoint of the run',
      loop(reported(1), selected(1), skipped(2), reported(7)),
      /models\/7 was attacked or skipped, and is none of its checkpoints/,
    ],
    [
      'a choice that no report gave a reason for',
      loop(reported(1), selected(2), skipped(2)),
      /models\/2 was selected, and never reported on/,
    ],
    [
      'a choice that is worse than the one before',
      loop(reported(1), selected(1), reported(2), selected(2, 0.4)),
      /accuracies of selected checkpoints 0.5 0.4/,
    ],
    [
      'a run that never ends',
      {
        ...withEvents(life),
        runs: [{ name: run, state: RUN_STATE_RUNNING, reason: '', lastSequence: 5, isSurrogate: false }],
      },
      /has not ended/,
    ],
    ['a process that is left', observations({ leftBehind: ['process 12'] }), /^left behind: process 12/],
  ];
  for (const [what, seen, found] of faults)
    it(`sees ${what}`, () => {
      expect(violationsOf(seen).join('\n')).toMatch(found);
    });
});
