import { describe, expect, test } from 'vitest';
import type { Job, Pod } from '../../kubernetes/types.ts';
import { endOf, failureOf, waitingFor } from './pod-words.ts';

type Status = NonNullable<Pod['status']>;
const pod = (status: Status, metadata = {}): Pod => ({ status, metadata });
const job = (spec = {}, status = {}) => ({ spec, status }) as Job;
const condition = (type: string, status: string, reason = '', message = '') => ({ type, status, reason, message });
const container = (state: object, image = 'example.org/trainer:1') =>
  ({ containerStatuses: [{ name: 'worker', image, imageID: '', ready: false, restartCount: 0, state }] }) as Status;
const exited = (exitCode: number, fields = {}) => pod(container({ terminated: { exitCode, ...fields } }));

describe('what a pod waits for', () => {
  const rows: readonly (readonly [string, Pod | undefined, Job, string])[] = [
    ['no pod', undefined, job(), 'waiting for its pod'],
    ['a queue', undefined, job({ suspend: true }), 'its Job is suspended: a queue has not admitted it yet'],
    [
      'no node',
      pod({
        phase: 'Pending',
        conditions: [
          condition(
            'PodScheduled',
            'False',
            'Unschedulable',
            '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
          ),
        ],
      }),
      job(),
      'no node takes its pod: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
    ],
    [
      'no image',
      pod(container({ waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image' } })),
      job(),
      'the image example.org/trainer:1 cannot be pulled: Back-off pulling image',
    ],
    [
      'bad configuration',
      pod(container({ waiting: { reason: 'CreateContainerConfigError', message: 'secret "x" not found' } })),
      job(),
      'its container does not start: secret "x" not found',
    ],
    [
      'its container',
      {
        ...pod(container({ waiting: { reason: 'ContainerCreating' } })),
        spec: { nodeName: 'gpu-a' } as Pod['spec'],
      } as Pod,
      job(),
      'its container is being made on the node gpu-a',
    ],
    ['its process', pod({ phase: 'Running' }), job(), 'its process is starting'],
  ];
  test.each(rows)('%s', (_, which, of, words) => expect(waitingFor(which, of)).toBe(words));
});

describe('what became of a pod', () => {
  const disrupted = (reason: string, message: string) =>
    pod({ conditions: [condition('DisruptionTarget', 'True', reason, message)] });
  const rows: readonly (readonly [string, Pod, string | undefined])[] = [
    ['nothing yet', pod({ phase: 'Running' }), undefined],
    [
      'evicted by its node',
      pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }),
      'was evicted: The node was low on resource: memory.',
    ],
    [
      'evicted by somebody',
      disrupted('EvictionByEvictionAPI', 'Eviction API: evicting'),
      'was evicted: Eviction API: evicting',
    ],
    ['preempted', disrupted('PreemptionByScheduler', ''), 'had to make room for a pod of higher priority'],
    [
      'a node that is gone',
      disrupted('DeletionByTaintManager', 'Taint manager: deleting'),
      'was on a node that does not answer any more: Taint manager: deleting',
    ],
    [
      'out of memory',
      exited(137, { reason: 'OOMKilled' }),
      'was killed because it ran out of memory; raise the memory limit in the template of its kind',
    ],
    ['killed', exited(137, { reason: 'Error' }), 'was killed (exit code 137), by hand or because memory ran out'],
    [
      'its last words',
      exited(4, { message: '{"msg":"one"}\n{"level":"fatal","msg":"the trainer cannot start: no GPU"}\n' }),
      'ended with exit code 4: the trainer cannot start: no GPU',
    ],
    ['an exit code', exited(1, { message: 'no such engine\n' }), 'ended with exit code 1: no such engine'],
    [
      'told to go',
      exited(75, { message: '{"msg":"handed back after step 7"}\n' }),
      'had to go: handed back after step 7',
    ],
    ['done', exited(0), 'ended'],
    ['failed', pod({ phase: 'Failed' }), 'failed: for an unknown reason'],
    ['deleted', pod({ phase: 'Running' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }), 'was deleted'],
  ];
  test.each(rows)('%s', (_, which, words) => expect(endOf(which)).toBe(words));
});

test('why a Job failed, with what became of its last pod', () => {
  const failed = (reason: string) => job({}, { conditions: [condition('Failed', 'True', reason, 'in its words')] });
  expect(failureOf(job(), undefined)).toBeUndefined();
  expect(failureOf(failed('FailedIndexes'), exited(1))).toEqual({
    words: 'its pods failed too often; its last pod ended with exit code 1',
    isFinal: false,
  });
  expect(failureOf(failed('PodFailurePolicy'), exited(2))).toEqual({
    words: 'its settings do not work; its last pod ended with exit code 2',
    isFinal: true,
  });
  expect(failureOf(failed('DeadlineExceeded'), undefined)?.isFinal).toBe(true);
  expect(failureOf(failed('SomethingElse'), undefined)).toEqual({ words: 'in its words', isFinal: false });
});
