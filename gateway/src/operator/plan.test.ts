import { RobustnessReport, RunState } from '@jsigr/proto';
import { describe, expect, test } from 'vitest';
import { SUSPENDED } from '../conductor/conductor.ts';
import type { StoredRun } from '../store/runs.ts';
import { type Action, type Observed, reconcile } from './plan.ts';
import { FINALIZER, type RobustnessEvaluationResource, type TrainingRunResource } from './resource.ts';

const now = '2026-11-26T12:00:00Z';
const before = '2026-11-26T11:00:00Z';
const metadata = { name: 'one', namespace: 'default', uid: 'u-1', generation: 1, finalizers: [FINALIZER] };
const proportion = { successes: 9, trials: 10, value: 0.9, lower: 0.596, upper: 0.982, confidence: 0.95 };

function training(fields: Partial<TrainingRunResource> = {}): TrainingRunResource {
  return {
    apiVersion: 'jsigr.dev/v1alpha1',
    kind: 'TrainingRun',
    metadata,
    spec: { suspend: false } as TrainingRunResource['spec'],
    ...fields,
  };
}

function evaluation(fields: Partial<RobustnessEvaluationResource['spec']>): RobustnessEvaluationResource {
  const spec = { suspend: false, ...fields } as RobustnessEvaluationResource['spec'];
  return { apiVersion: 'jsigr.dev/v1alpha1', kind: 'RobustnessEvaluation', metadata, spec };
}

function run(state: RunState, fields: Partial<StoredRun> = {}): StoredRun {
  return {
    ...{ id: 'abc', kind: 'training', displayName: 'one', spec: {}, state, reason: 'because', lastSequence: 1 },
    ...{ createTime: new Date(before), startTime: undefined, endTime: undefined, labels: {}, summary: {} },
    ...fields,
  } as StoredRun;
}

/** In words: what is done, and of a status its state and conditions. */
function words(actions: readonly Action[]): string[] {
  return actions.map((action) => {
    if (action.do === 'tell') return `tell ${action.type} ${action.reason}`;
    if (action.do !== 'write status') return action.do;
    const { state, conditions = [] } = action.status;
    return [state, ...conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`)].join(', ');
  });
}

const decide = (observed: Omit<Observed, 'now'>) => reconcile({ ...observed, now });
const suspended = { suspend: true } as TrainingRunResource['spec'];
const done = training({ status: { state: 'Succeeded', run: 'trainingRuns/abc', bestModel: 'models/01234567' } });
const { finalizers: _, ...bare } = metadata;

const rows: readonly (readonly [string, Omit<Observed, 'now'>, string[]])[] = [
  [
    'a new resource is held, then made a run of',
    { resource: training({ metadata: bare }) },
    ['add finalizer', 'create run'],
  ],
  ['one that is held already is made a run of', { resource: training() }, ['create run']],
  [
    'one that is suspended from the start has no run',
    { resource: training({ spec: { suspend: true } as TrainingRunResource['spec'] }) },
    ['Suspended, Suspended=True Suspended', 'tell Normal Suspended'],
  ],
  [
    'one that the gateway refuses says why',
    { resource: training(), refusal: 'spec.dataset: there is no dataset datasets/x' },
    ['Invalid, Accepted=False InvalidSpec', 'tell Warning InvalidSpec'],
  ],
  [
    'a queued run',
    { resource: training(), run: run(RunState.RUN_STATE_QUEUED) },
    ['Queued, Accepted=True RunCreated, Running=False Queued', 'tell Normal Queued'],
  ],
  [
    'a running run',
    { resource: training(), run: run(RunState.RUN_STATE_RUNNING) },
    ['Running, Accepted=True RunCreated, Running=True Running', 'tell Normal Running'],
  ],
  [
    'a run that succeeded',
    { resource: training(), run: run(RunState.RUN_STATE_SUCCEEDED) },
    ['Succeeded, Accepted=True RunCreated, Running=False Ended, Complete=True Succeeded', 'tell Normal Succeeded'],
  ],
  [
    'a run that failed',
    { resource: training(), run: run(RunState.RUN_STATE_FAILED) },
    ['Failed, Accepted=True RunCreated, Running=False Ended, Failed=True RunFailed', 'tell Warning RunFailed'],
  ],
  [
    'a run that was cancelled elsewhere',
    { resource: training(), run: run(RunState.RUN_STATE_CANCELLED) },
    ['Cancelled, Accepted=True RunCreated, Running=False Ended, Failed=True Cancelled', 'tell Normal Cancelled'],
  ],
  ['what has ended is left alone, even when the run is gone', { resource: done }, []],
  [
    'a run that the gateway lost is not begun again by itself',
    { resource: training({ status: { state: 'Running', run: 'trainingRuns/abc' } }) },
    ['Failed, Failed=True RunLost', 'tell Warning RunLost'],
  ],
  [
    'deletion cancels a run that is going on, and lets go',
    { resource: training({ metadata: { ...metadata, deletionTimestamp: now } }), run: run(RunState.RUN_STATE_RUNNING) },
    ['cancel run', 'remove finalizer'],
  ],
  [
    'deletion of what has ended lets go',
    {
      resource: { ...done, metadata: { ...metadata, deletionTimestamp: now } },
      run: run(RunState.RUN_STATE_SUCCEEDED),
    },
    ['remove finalizer'],
  ],
  [
    'deletion with another finalizer left is waited for',
    { resource: training({ metadata: { ...metadata, finalizers: ['other/one'], deletionTimestamp: now } }) },
    [],
  ],
  [
    'a running run that is to be suspended',
    { resource: training({ spec: suspended }), run: run(RunState.RUN_STATE_RUNNING) },
    ['suspend run'],
  ],
  [
    'a run that is suspended',
    { resource: training({ spec: suspended }), run: run(RunState.RUN_STATE_QUEUED, { reason: SUSPENDED }) },
    ['Suspended, Accepted=True RunCreated, Running=False Suspended, Suspended=True Suspended', 'tell Normal Suspended'],
  ],
  [
    'a suspended run that is to go on',
    { resource: training(), run: run(RunState.RUN_STATE_QUEUED, { reason: SUSPENDED }) },
    ['resume run'],
  ],
  ['an evaluation of a model', { resource: evaluation({ model: 'models/01234567' }) }, ['create run']],
  [
    'an evaluation of a TrainingRun that is not there',
    { resource: evaluation({ modelFrom: { trainingRun: 'one' } }) },
    ['Pending, Accepted=False WaitingForModel', 'tell Normal WaitingForModel'],
  ],
  [
    'an evaluation of a TrainingRun that goes on',
    { resource: evaluation({ modelFrom: { trainingRun: 'one' } }), source: training({ status: { state: 'Running' } }) },
    ['Pending, Accepted=False WaitingForModel', 'tell Normal WaitingForModel'],
  ],
  [
    'an evaluation of a TrainingRun that is done',
    { resource: evaluation({ modelFrom: { trainingRun: 'one' } }), source: done },
    ['create run'],
  ],
  [
    'an evaluation of a TrainingRun that failed',
    { resource: evaluation({ modelFrom: { trainingRun: 'one' } }), source: training({ status: { state: 'Failed' } }) },
    ['Failed, Failed=True NoModel', 'tell Warning NoModel'],
  ],
];

describe('what is to be done', () => {
  test.each(rows)('%s', (_, observed, expected) => {
    expect(words(decide(observed))).toEqual(expected);
  });

  test.each(rows)('once it is done, nothing more: %s', (_, observed) => {
    const status = decide(observed).find((action) => action.do === 'write status')?.status;
    if (!status) return;
    const resource = { ...observed.resource, status } as Observed['resource'];
    expect(reconcile({ ...observed, resource, now: '2026-11-26T13:00:00Z' })).toEqual([]);
  });

  test('an evaluation attacks the best model of its TrainingRun', () => {
    const observed = { resource: evaluation({ modelFrom: { trainingRun: 'one' } }), source: done };
    expect(decide(observed)).toEqual([{ do: 'create run', model: 'models/01234567' }]);
  });

  test('the figures of a report: those of the largest radius, with their interval and the verdict', () => {
    const report = RobustnessReport.toJSON(
      RobustnessReport.fromPartial({
        cleanAccuracy: { ...proportion, value: 1 },
        epsilons: [
          { norm: 'linf', epsilon: 8 / 255, whiteBox: proportion, transferred: proportion },
          { norm: 'linf', epsilon: 0.1, whiteBox: { ...proportion, value: 0.25 } },
          { norm: 'l2', epsilon: 2, whiteBox: proportion },
        ],
        masking: 'MASKING_VERDICT_NOT_ASSESSED',
        ledger: 'aa',
      } as Parameters<typeof RobustnessReport.fromPartial>[0]),
    );
    const spec = { model: 'models/01234567' };
    const ended = run(RunState.RUN_STATE_SUCCEEDED, { kind: 'evaluation', spec, summary: { report } });
    const [action] = decide({ resource: evaluation({ model: 'models/01234567' }), run: ended });
    expect(action).toMatchObject({
      status: {
        run: 'evaluations/abc',
        model: 'models/01234567',
        progress: '100%',
        cleanAccuracy: { value: '1.000', lower: '0.596', upper: '0.982', samples: 10 },
        robustAccuracy: { value: '0.250', norm: 'linf', epsilon: '0.1', access: 'WhiteBox' },
        maskingVerdict: 'NotAssessed',
        ledger: 'aa',
      },
    });
  });

  test('the time of a condition changes with its status alone', () => {
    const condition = {
      type: 'Running',
      status: 'False',
      reason: 'Queued',
      message: 'x',
      observedGeneration: 1,
    } as const;
    const status = { state: 'Queued', conditions: [{ ...condition, lastTransitionTime: before }] } as const;
    const times = (state: RunState) => {
      const [action] = decide({ resource: training({ status }), run: run(state) });
      const conditions = action?.do === 'write status' ? action.status.conditions : [];
      return conditions?.find(({ type }) => type === 'Running')?.lastTransitionTime;
    };
    expect(times(RunState.RUN_STATE_STARTING)).toBe(before);
    expect(times(RunState.RUN_STATE_RUNNING)).toBe(now);
  });
});
