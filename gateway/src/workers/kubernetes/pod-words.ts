import { START_ANOTHER } from '@jsigr/service';
import type { Job, Pod } from '../../kubernetes/types.ts';
import { plainLine } from '../child-process.ts';
import { CONTAINER } from './job.ts';

/** What a pod that does not serve yet is waiting for, in plain words. */
export function waitingFor(pod: Pod | undefined, job: Job | undefined): string {
  if (job?.spec?.suspend) return 'its Job is suspended: a queue has not admitted it yet';
  if (!pod) return 'waiting for its pod';
  const { phase, conditions = [], containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const unscheduled = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  if (unscheduled) return `no node takes its pod: ${unscheduled.message || unscheduled.reason}`;
  const waiting = [...initContainerStatuses, ...containerStatuses]
    .map(({ state, image }) => ({ ...state?.waiting, image }))
    .find(({ reason }) => reason && reason !== 'ContainerCreating' && reason !== 'PodInitializing');
  if (waiting?.reason?.includes('Image'))
    return `the image ${waiting.image} cannot be pulled: ${waiting.message || waiting.reason}`;
  if (waiting) return `its container does not start: ${waiting.message || waiting.reason}`;
  if (phase === 'Running') return 'its process is starting';
  return `its container is being made on the node ${pod.spec?.nodeName ?? ''}`.trimEnd();
}

const OUT_OF_MEMORY = 137;

/** What became of a pod that is ending or has ended; undefined while it is well. */
export function endOf(pod: Pod): string | undefined {
  const { status, metadata } = pod;
  const disrupted = status?.conditions?.find(
    (condition) => condition.type === 'DisruptionTarget' && condition.status === 'True',
  );
  if (disrupted) return disruption(disrupted.reason ?? '', disrupted.message ?? '');
  if (status?.reason === 'Evicted') return `was evicted: ${status.message}`;
  const terminated = status?.containerStatuses?.find(({ name }) => name === CONTAINER)?.state?.terminated;
  if (terminated) {
    const { exitCode, reason, message } = terminated;
    if (reason === 'OOMKilled')
      return 'was killed because it ran out of memory; raise the memory limit in the template of its kind';
    if (exitCode === OUT_OF_MEMORY) return 'was killed (exit code 137), by hand or because memory ran out';
    if (exitCode === 0) return 'ended';
    const words = lastWords(message ?? '');
    const how = exitCode === START_ANOTHER ? 'had to go' : `ended with exit code ${exitCode}`;
    return `${how}${words ? `: ${words}` : ''}`;
  }
  if (status?.phase === 'Failed') return `failed: ${status.message || status.reason || 'for an unknown reason'}`;
  if (metadata?.deletionTimestamp) return 'was deleted';
  return undefined;
}

/** Of what a container wrote at its end, the last line. */
function lastWords(message: string): string {
  const lines = message.split('\n').filter((line) => line.trim() !== '');
  return plainLine(lines.at(-1) ?? '').trim();
}

const disruptions: Readonly<Record<string, string>> = {
  PreemptionByScheduler: 'had to make room for a pod of higher priority',
  DeletionByTaintManager: 'was on a node that does not answer any more',
  EvictionByEvictionAPI: 'was evicted',
  TerminationByKubelet: 'was ended by its node',
  DeletionByPodGC: 'was on a node that is gone',
};

function disruption(reason: string, message: string): string {
  return [disruptions[reason] ?? `was disrupted (${reason})`, message].filter(Boolean).join(': ');
}

export interface JobFailure {
  readonly words: string;
  /** Another Job for the run would fail in the same way. */
  readonly isFinal: boolean;
}

/** Why a Job has failed; undefined while it has not. */
export function failureOf(job: Job, lastPod: Pod | undefined): JobFailure | undefined {
  const failed = job.status?.conditions?.find(
    ({ type, status }) => (type === 'Failed' || type === 'FailureTarget') && status === 'True',
  );
  if (!failed) return undefined;
  const { reason = '', message } = failed;
  const end = lastPod && endOf(lastPod);
  const words = [jobFailures[reason] ?? message ?? reason, end && `its last pod ${end}`].filter(Boolean).join('; ');
  return { words, isFinal: FINAL.includes(reason) };
}

const FINAL = ['DeadlineExceeded', 'PodFailurePolicy'];

const jobFailures: Readonly<Record<string, string>> = {
  BackoffLimitExceeded: 'its pods failed too often',
  FailedIndexes: 'its pods failed too often',
  MaxFailedIndexesExceeded: 'its pods failed too often',
  DeadlineExceeded: 'its deadline (activeDeadlineSeconds) has passed',
  PodFailurePolicy: 'its settings do not work',
};

export function isFinished(job: Job): boolean {
  return (
    job.status?.conditions?.some(
      ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
    ) ?? false
  );
}
