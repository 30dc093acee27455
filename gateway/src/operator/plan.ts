import { RunState } from '@jsigr/proto';
import { SUSPENDED } from '../conductor/conductor.ts';
import type { StoredRun } from '../store/runs.ts';
import { isFinal } from '../store/state-machine.ts';
import { FINALIZER, type Resource, type State, type Status, type TrainingRunResource } from './resource.ts';
import { type Finding, figuresOf, statusOf } from './status.ts';

/** All that a decision about a resource rests on. */
export interface Observed {
  readonly resource: Resource;
  /** The gateway's run of it, where there is one. */
  readonly run?: StoredRun | undefined;
  /** Why the gateway refused to make a run of it, in words; only where it has just been asked. */
  readonly refusal?: string | undefined;
  /** The TrainingRun that `modelFrom` names, where there is one. */
  readonly source?: TrainingRunResource | undefined;
  /** As the API server writes times: seconds, UTC. */
  readonly now: string;
}

/** Each may be done again, or fail and be done later. */
export type Action =
  | { readonly do: 'add finalizer' }
  | { readonly do: 'remove finalizer' }
  /** @property model what an evaluation attacks; empty for a training run. */
  | { readonly do: 'create run'; readonly model: string }
  | { readonly do: 'cancel run'; readonly run: StoredRun }
  | { readonly do: 'suspend run'; readonly run: StoredRun }
  | { readonly do: 'resume run'; readonly run: StoredRun }
  | { readonly do: 'write status'; readonly status: Status }
  | { readonly do: 'tell'; readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };

const ENDED: readonly (State | undefined)[] = ['Succeeded', 'Failed', 'Cancelled'];

/** What is to be done, from what is observed and nothing else. Where all is as it should be: nothing. */
export function reconcile(observed: Observed): Action[] {
  const { resource, run } = observed;
  const { metadata, status } = resource;
  const isHeld = metadata.finalizers?.includes(FINALIZER) ?? false;
  if (metadata.deletionTimestamp) {
    if (!isHeld) return [];
    const going = run && !isFinal(run.state);
    return [...(going ? [{ do: 'cancel run', run } as const] : []), { do: 'remove finalizer' }];
  }
  // What has ended stays as it was, whatever becomes of its Jobs or of the run's record.
  if (ENDED.includes(status?.state)) return [];
  const verdict = judge(observed);
  if ('action' in verdict) return [...(isHeld ? [] : [{ do: 'add finalizer' } as const]), verdict.action];
  return written(observed, verdict);
}

interface Verdict {
  readonly state: State;
  readonly findings: readonly Finding[];
  readonly figures?: Partial<Status>;
}

function judge(observed: Observed): Verdict | { readonly action: Action } {
  const { resource, run, refusal } = observed;
  if (run) return judgeRun(resource, run);
  if (resource.status?.run)
    return failed(
      'RunLost',
      `the gateway does not know ${resource.status.run} any more; delete this and apply it again`,
    );
  if (resource.spec.suspend)
    return { state: 'Suspended', findings: [finding('Suspended', 'True', 'Suspended', 'spec.suspend is true')] };
  if (refusal !== undefined)
    return { state: 'Invalid', findings: [finding('Accepted', 'False', 'InvalidSpec', refusal)] };
  if (resource.kind === 'TrainingRun') return { action: { do: 'create run', model: '' } };
  const { model, modelFrom } = resource.spec;
  if (model !== undefined || !modelFrom) return { action: { do: 'create run', model: model ?? '' } };
  return judgeSource(modelFrom.trainingRun, observed.source);
}

function judgeSource(name: string, source: TrainingRunResource | undefined): Verdict | { readonly action: Action } {
  const { state, bestModel } = source?.status ?? {};
  if (state === 'Succeeded' && bestModel) return { action: { do: 'create run', model: bestModel } };
  if (ENDED.includes(state)) return failed('NoModel', `the TrainingRun ${name} has ended without a model: ${state}`);
  const why = source ? `the TrainingRun ${name} is ${state ?? 'Pending'}` : `there is no TrainingRun ${name} here yet`;
  return { state: 'Pending', findings: [finding('Accepted', 'False', 'WaitingForModel', why)] };
}

const running: Partial<Record<RunState, State>> = {
  [RunState.RUN_STATE_QUEUED]: 'Queued',
  [RunState.RUN_STATE_STARTING]: 'Starting',
  [RunState.RUN_STATE_RUNNING]: 'Running',
};

function judgeRun({ spec, status }: Resource, run: StoredRun): Verdict | { readonly action: Action } {
  const figures = figuresOf(run);
  const accepted = finding('Accepted', 'True', 'RunCreated', `the gateway conducts it as ${figures.run}`);
  const verdict = (state: State, ...findings: Finding[]) => ({ state, findings: [accepted, ...findings], figures });
  const ended = finding('Running', 'False', 'Ended', run.reason);
  switch (run.state) {
    case RunState.RUN_STATE_SUCCEEDED:
      return verdict('Succeeded', ended, finding('Complete', 'True', 'Succeeded', run.reason));
    case RunState.RUN_STATE_FAILED:
      return verdict('Failed', ended, finding('Failed', 'True', 'RunFailed', run.reason));
    case RunState.RUN_STATE_CANCELLED:
      return verdict('Cancelled', ended, finding('Failed', 'True', 'Cancelled', run.reason));
  }
  const isSuspended = run.state === RunState.RUN_STATE_QUEUED && run.reason === SUSPENDED;
  if (spec.suspend !== isSuspended) return { action: { do: spec.suspend ? 'suspend run' : 'resume run', run } };
  if (isSuspended)
    return verdict(
      'Suspended',
      finding('Running', 'False', 'Suspended', 'spec.suspend is true'),
      finding('Suspended', 'True', 'Suspended', 'spec.suspend is true; what was done so far is kept'),
    );
  const state = running[run.state] ?? 'Queued';
  const isRunning = state === 'Running';
  const wasSuspended = status?.conditions?.some(({ type }) => type === 'Suspended') ?? false;
  return verdict(
    state,
    ...(wasSuspended ? [finding('Suspended', 'False', 'Resumed', 'spec.suspend is false')] : []),
    finding(
      'Running',
      isRunning ? 'True' : 'False',
      state,
      run.reason || (isRunning ? 'workers are at it' : 'waits for its turn'),
    ),
  );
}

function failed(reason: string, message: string): Verdict {
  return { state: 'Failed', findings: [finding('Failed', 'True', reason, message)] };
}

function finding(type: Finding['type'], status: Finding['status'], reason: string, message: string): Finding {
  return { type, status, reason, message };
}

/** The status, where it differs from what is written; and what is new in it, for `kubectl describe`. */
function written({ resource, now }: Observed, verdict: Verdict): Action[] {
  const status = statusOf(resource, now, verdict);
  if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(resource.status))) return [];
  const main = verdict.findings.at(-1);
  const known = resource.status?.conditions?.some(
    ({ type, reason, message }) => type === main?.type && reason === main.reason && message === main.message,
  );
  const isBad = verdict.state === 'Failed' || verdict.state === 'Invalid';
  return [
    { do: 'write status', status },
    ...(main && !known
      ? [{ do: 'tell', type: isBad ? 'Warning' : 'Normal', reason: main.reason, message: main.message } as const]
      : []),
  ];
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}
