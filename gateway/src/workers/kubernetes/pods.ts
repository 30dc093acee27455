import type { Job, Pod } from '../../kubernetes/types.ts';

const INDEX = 'batch.kubernetes.io/job-completion-index';

/** Name of its Job. */
export function jobOf(pod: Pod): string {
  return pod.metadata?.labels?.['batch.kubernetes.io/job-name'] ?? '';
}

export function indexOf(pod: Pod): number {
  return Number(pod.metadata?.annotations?.[INDEX] ?? 0);
}

export function timeOf(pod: Pod): number {
  return Date.parse(pod.metadata?.creationTimestamp ?? '') || 0;
}

/** Its process has ended. */
export function isOver(pod: Pod | undefined): boolean {
  return pod?.status?.phase === 'Failed' || pod?.status?.phase === 'Succeeded';
}

/** For a gateway before this one: its index gets no other pod as long as the Job goes on for the others. */
export function hasSucceeded({ status, metadata }: Pod, job: Job): boolean {
  return status?.phase === 'Succeeded' && metadata?.ownerReferences?.[0]?.uid === job.metadata?.uid;
}

/** It is to go because of its node: where that does not answer, nobody is there to say that the pod has gone. */
export function lostItsNode({ metadata, status }: Pod): boolean {
  const disrupted = status?.conditions?.some(
    ({ type, status: holds, reason }) =>
      type === 'DisruptionTarget' && holds === 'True' && reason === 'DeletionByTaintManager',
  );
  return metadata?.deletionTimestamp !== undefined && disrupted === true;
}
