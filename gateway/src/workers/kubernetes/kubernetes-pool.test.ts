import { setImmediate, setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WorkerKind } from '@jsigr/proto';
import { createLogger, type WorkerKindName } from '@jsigr/service';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Caller } from '../../access/caller.ts';
import { KubernetesError } from '../../kubernetes/client.ts';
import type { Job, Pod } from '../../kubernetes/types.ts';
import { startRegistryServer } from '../../testing/registry-server.ts';
import { type PoolTestOptions, type PoolUnderTest, workerPoolSuite } from '../pool.suite.ts';
import { tokenDigest, type Worker } from '../pool.ts';
import { WorkerRegistry } from '../registry.ts';
import { FakeCluster, tokenOf } from './fake-cluster.ts';
import { FakeNode } from './fake-node.ts';
import { KubernetesPool } from './kubernetes-pool.ts';

const logger = createLogger('test', 'silent');
const options = { run: 'trainingRuns/abc' };
let cluster: FakeCluster;
let registry: WorkerRegistry;
let pool: KubernetesPool;
let tokens = 0;

function makePool(idleMs = 60_000, leaseMs = 60_000, againMs = 500): KubernetesPool {
  registry = new WorkerRegistry({ leaseMs, nextToken: async () => ++tokens });
  const common = { registry, gatewayAddress: () => 'gateway:7460', image: 'jsigr-{kind}', logger };
  return new KubernetesPool({ ...common, client: cluster.client, idleMs, againMs });
}
beforeEach(() => {
  cluster = new FakeCluster();
  pool = makePool();
});
afterEach(async () => {
  await pool.close();
  registry.close();
});

/** The Job that the pool makes. */
async function made(): Promise<Job> {
  return vi.waitFor(() => {
    if (!cluster.job) throw new Error('no Job yet');
    return cluster.job;
  });
}
const kinds: Record<string, WorkerKind> = { trainer: 'WORKER_KIND_TRAINER', attacker: 'WORKER_KIND_ATTACKER' };
const callerOf = (pod: Pod): Caller => ({ subject: `worker/${pod.metadata?.name}`, role: 'worker', tenant: '' });
/** As the gateway's door does: who shows no token of a worker is told that he is none. */
async function register(pod: Pod, token = tokenOf(pod)) {
  const { name: workerId = '', labels } = pod.metadata ?? {};
  const caller = (await pool.verify(token)) ?? { ...callerOf(pod), subject: 'nobody' };
  const kind = kinds[labels?.['app.kubernetes.io/component'] ?? ''] ?? 'WORKER_KIND_TRAINER';
  return registry.register({ kind, address: '127.0.0.1:7470', workerId, capacity: 1 }, caller);
}
async function acquired(attempt = 1): Promise<{ worker: Worker; job: Job; pod: Pod; leaseId: string }> {
  const acquiring = pool.acquire('trainer', options);
  const job = await made();
  const pod = cluster.pod(job, attempt);
  cluster.put('pods', pod);
  const { leaseId } = await register(pod);
  return { worker: await acquiring, job, pod, leaseId };
}

describe('the pool of Jobs', () => {
  test('is empty at rest; a run has a Job, whose pod is the worker once it has registered', async () => {
    expect(pool.list()).toEqual([]);
    const { worker, job } = await acquired();
    expect(job.metadata?.name).toBe('jsigr-trainer-abc');
    expect(job.spec?.template.spec?.containers[0]?.image).toBe('jsigr-trainer');
    expect(worker).toMatchObject({ id: 'jsigr-trainer-abc-0-1', kind: 'trainer', address: '127.0.0.1:7470' });
    expect(pool.list()).toMatchObject([{ id: worker.id, users: 1 }]);
  });

  test('a worker that is released learns so at its next renewal; its Job stays', async () => {
    const { worker, leaseId, pod } = await acquired();
    await pool.release(worker);
    expect(registry.renew({ leaseId, load: 0 }, callerOf(pod))).toMatchObject({ released: true });
    expect(() => registry.renew({ leaseId, load: 0 }, callerOf(pod))).toThrow(/lease/);
    expect([cluster.removed, pool.list()]).toEqual([[], []]);
  });

  test('a worker that is discarded goes with its Job', async () => {
    const { worker } = await acquired();
    await pool.release(worker, { discard: true });
    expect(cluster.removed).toEqual(['jsigr-trainer-abc']);
  });

  test('nobody gets in without the token of that very pod', async () => {
    const acquiring = pool.acquire('trainer', options);
    const [mine, other] = [cluster.pod(await made(), 1), cluster.pod(await made(), 2)];
    for (const pod of [mine, other]) cluster.put('pods', pod);
    await expect(register(mine, tokenOf(other))).rejects.toMatchObject({ reason: 'UNKNOWN_WORKER' });
    await expect(register(mine, tokenOf(mine, 'jsigr.dev/trainer/other'))).rejects.toThrow();
    await expect(register(mine, 'no token at all')).rejects.toThrow();
    await register(mine);
    expect((await acquiring).id).toBe(mine.metadata?.name);
  });

  test('a client with a token of its own pod is not waited for', async () => {
    const client = { metadata: { name: 'notebook-0', uid: 'u', labels: {} } };
    const seen = vi.fn();
    void pool.verify(tokenOf(client, 'jsigr')).then(seen);
    // One round of the event loop: nobody was asked, and nothing is waited for.
    await setImmediate();
    expect(seen).toHaveBeenCalledWith(undefined);
  });

  const ends: readonly (readonly [string, Partial<Pod['status'] & object>, RegExp])[] = [
    [
      'evicted',
      { phase: 'Failed', reason: 'Evicted', message: 'low on memory' },
      /\(pod .*\) was evicted: low on memory$/,
    ],
    [
      'killed',
      { phase: 'Failed', containerStatuses: [{ name: 'worker', state: { terminated: { exitCode: 137 } } }] as never },
      /was killed \(exit code 137\)/,
    ],
  ];
  test.each(ends)(
    'says what became of a worker that was %s, and the next pod of its Job goes on',
    async (_, status, words) => {
      const { worker, job, pod } = await acquired();
      cluster.put('pods', { ...pod, status });
      expect(await worker.lost).toMatch(words);
      await pool.release(worker, { discard: true });
      expect(cluster.removed).toEqual([]);
      const said: string[] = [];
      const again = pool.acquire('trainer', { ...options, onWaiting: (why) => said.push(why) });
      const next = cluster.pod(job, 2);
      await vi.waitFor(() => expect(said[0]).toMatch(/waiting for the next one$/));
      cluster.put('pods', next);
      await register(next);
      expect((await again).id).toBe(next.metadata?.name);
    },
  );

  test('a pod that is told to go hands its work back, and its Job, which goes on, makes the next one', async () => {
    const { worker, pod, job, leaseId } = await acquired();
    expect(job.spec?.podFailurePolicy?.rules.slice(0, 2)).toMatchObject([
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] },
      { action: 'Ignore', onExitCodes: { containerName: 'worker', operator: 'In', values: [75, 143] } },
    ]);
    const going = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    cluster.put('pods', going);
    registry.deregister({ leaseId }, callerOf(pod));
    expect(await worker.lost).toMatch(/was deleted/);
    await pool.release(worker, { discard: true });
    const again = pool.acquire('trainer', options);
    const containerStatuses = [{ name: 'worker', state: { terminated: { exitCode: 75 } } }] as never;
    cluster.put('pods', { ...going, status: { phase: 'Failed', containerStatuses } });
    const next = cluster.pod(job, 2);
    cluster.put('pods', next);
    await register(next);
    expect((await again).id).toBe(next.metadata?.name);
    expect(cluster.removed).toEqual([]);
  });

  test('a Job that ends while its next pod is waited for makes room for another one', async () => {
    const { worker, pod, job } = await acquired();
    cluster.drop('pods', pod.metadata?.name ?? '');
    expect(await worker.lost).toMatch(/was deleted/);
    await pool.release(worker, { discard: true });
    const again = pool.acquire('trainer', options);
    cluster.put('jobs', { ...job, status: { conditions: [{ type: 'Complete', status: 'True' }] } } as Job);
    await vi.waitFor(() => expect(cluster.removed).toEqual([job.metadata?.name]));
    const next = cluster.pod(await made(), 2);
    cluster.put('pods', next);
    await register(next);
    expect((await again).id).toBe(next.metadata?.name);
  });

  describe('a Job that somebody else removes again and again', () => {
    const removed = 'the Job jsigr-trainer-abc ended or was removed';
    let made = 0;
    let isSeen = true;
    beforeEach(async () => {
      isSeen = true;
      await pool.close();
      registry.close();
      pool = makePool(60_000, 60_000, 20);
      made = 0;
      cluster.create = async (collection, body) => {
        if (++made > 20) await new Promise(() => {}); // it would never end
        const created = await FakeCluster.prototype.create.call(cluster, collection, body);
        const drop = () => cluster.drop(collection.plural, body.metadata?.name ?? '');
        if (isSeen) void setImmediate().then(drop);
        else drop();
        return created as typeof body;
      };
    });

    test('is given up, too, where the watch tells of it only when it has been removed', async () => {
      isSeen = false;
      await expect(pool.acquire('trainer', options)).rejects.toMatchObject({
        message: `${removed} 5 times before it had a worker`,
      });
      expect(made).toBe(5);
    });

    test('is made again a few times, with pauses that say so, and then given up', async () => {
      const said: string[] = [];
      const acquiring = pool.acquire('trainer', { ...options, onWaiting: (why) => said.push(why) });
      await expect(acquiring).rejects.toMatchObject({
        reason: 'WORKER_START_FAILED',
        message: `${removed} 5 times before it had a worker`,
      });
      expect(made).toBe(5);
      const pauses = said.filter((words) => words.startsWith(removed));
      expect(pauses).toEqual([2, 3, 4].map((times) => `${removed} ${times} times before it had a worker`));
    });

    test('is not waited for when nobody wants the worker any more', async () => {
      const controller = new AbortController();
      const onWaiting = (why: string) => {
        if (why.startsWith(removed)) controller.abort(new DOMException('cancelled', 'AbortError'));
      };
      const acquiring = pool.acquire('trainer', { ...options, onWaiting, signal: controller.signal });
      await expect(acquiring).rejects.toThrow('cancelled');
      expect(made).toBe(2);
    });

    test('is not waited for when the gateway stops', async () => {
      const onWaiting = (why: string) => {
        if (why.startsWith(removed)) void pool.close();
      };
      await expect(pool.acquire('trainer', { ...options, onWaiting })).rejects.toMatchObject({
        reason: 'WORKER_POOL_CLOSED',
      });
      expect(made).toBe(2);
    });
  });

  test('a pod on a node that is gone is given up once its lease is over, and taken away by force', async () => {
    await pool.close();
    pool = makePool(60_000, 200);
    const { worker, pod } = await acquired();
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'taint' };
    const metadata = { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' };
    cluster.put('pods', { ...pod, metadata, status: { phase: 'Running', conditions: [condition] } });
    expect(cluster.removed).toEqual([]);
    expect(await worker.lost).toMatch(/was on a node that does not answer any more/);
    await vi.waitFor(() => expect(cluster.removed).toEqual([pod.metadata?.name]));
  });

  test('a pod that a taint drives from a living node keeps its lease until it has handed back its work', async () => {
    const { worker, pod, leaseId } = await acquired();
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'taint' };
    const leaving = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:01:00Z' } };
    cluster.put('pods', { ...leaving, status: { phase: 'Running', conditions: [condition] } });
    await setImmediate();
    expect(registry.renew({ leaseId, load: 1 }, callerOf(pod)).released).toBe(false);
    cluster.put('pods', { ...leaving, status: { phase: 'Failed', conditions: [condition] } });
    await worker.lost;
    expect(cluster.removed).toEqual([]);
  });

  test('says what a worker waits for, and why its Job failed', async () => {
    const said: string[] = [];
    const acquiring = pool.acquire('trainer', { ...options, onWaiting: (why) => said.push(why) });
    const failure = expect(acquiring).rejects.toMatchObject({
      reason: 'WORKER_START_FAILED',
      message: 'the Job jsigr-trainer-abc failed: its pods failed too often; its last pod ended with exit code 1',
    });
    const job = await made();
    const unscheduled = { type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' };
    cluster.put('pods', cluster.pod(job, 1, { phase: 'Pending', conditions: [unscheduled] }));
    await vi.waitFor(() => expect(said.at(-1)).toBe('no node takes its pod: 0/3 nodes are available'));
    const ended = {
      phase: 'Failed',
      containerStatuses: [{ name: 'worker', state: { terminated: { exitCode: 1 } } }] as never,
    };
    cluster.put('pods', cluster.pod(job, 2, ended));
    await vi.waitFor(() => expect(said.at(-1)).toMatch(/exit code 1; waiting for the next one/));
    const condition = { type: 'Failed', status: 'True', reason: 'FailedIndexes' };
    cluster.put('jobs', { ...job, status: { conditions: [condition] } } as Job);
    await failure;
  });

  test('shards are indexes of one Job, each with a worker of its own', async () => {
    const shard = (index: number) => pool.acquire('attacker', { run: 'evaluations/abc', shard: { index, count: 2 } });
    const both = [shard(0), shard(1)];
    const job = await made();
    expect(job.spec).toMatchObject({ completions: 2, parallelism: 2, completionMode: 'Indexed' });
    for (const index of [1, 0]) {
      const pod = cluster.pod(job, 1, { phase: 'Running' }, index);
      cluster.put('pods', pod);
      await register(pod);
    }
    const workers = await Promise.all(both);
    expect(workers.map(({ id }) => id)).toEqual(['jsigr-attacker-abc-0-1', 'jsigr-attacker-abc-1-1']);
    expect(cluster.objects.get('jobs')?.size).toBe(1);
  });

  test('a shard that was lost goes on in the next pod of its index, beside the others', async () => {
    const shard = (index: number) => pool.acquire('attacker', { run: 'evaluations/abc', shard: { index, count: 2 } });
    const both = [shard(0), shard(1)];
    const job = await made();
    for (const index of [0, 1]) {
      const pod = cluster.pod(job, 1, { phase: 'Running' }, index);
      cluster.put('pods', pod);
      await register(pod);
    }
    const [first, second] = await Promise.all(both);
    cluster.drop('pods', second?.id ?? '');
    expect(await second?.lost).toMatch(/was deleted/);
    if (second) await pool.release(second, { discard: true });
    const again = shard(1);
    const next = cluster.pod(job, 2, { phase: 'Running' }, 1);
    cluster.put('pods', next);
    await register(next);
    expect((await again).id).toBe(next.metadata?.name);
    expect([cluster.removed, pool.list().length]).toEqual([[], 2]);
    if (first) await pool.release(first);
  });

  test('shards whose Job is past its deadline are not begun again', async () => {
    const shard = (index: number) => pool.acquire('attacker', { run: 'evaluations/abc', shard: { index, count: 2 } });
    const both = [shard(0), shard(1)];
    const job = await made();
    const running = [0, 1].map((index) => cluster.pod(job, 1, { phase: 'Running' }, index));
    for (const pod of running) {
      cluster.put('pods', pod);
      await register(pod);
    }
    const workers = await Promise.all(both);
    const condition = { type: 'FailureTarget', status: 'True', reason: 'DeadlineExceeded' };
    cluster.put('jobs', { ...job, status: { conditions: [condition] } } as Job);
    for (const pod of running)
      cluster.put('pods', { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
    await setTimeout(50);
    for (const worker of workers) await pool.release(worker, { discard: true });
    expect(cluster.removed).toEqual([]);
    await expect(shard(0)).rejects.toMatchObject({ message: expect.stringMatching(/deadline .* has passed/) });
  });

  const away: readonly (readonly [number, string])[] = [
    [0, 'the API server cannot be reached: connect ECONNREFUSED'],
    [403, 'jobs is forbidden: exceeded quota'],
    [503, 'the API server answered with HTTP status 503'],
  ];
  test.each(away)('waits, and says so, while the API server takes no Job (%i)', async (code, message) => {
    const said: string[] = [];
    const { create } = cluster;
    cluster.create = async () => {
      throw new KubernetesError(code, '', message);
    };
    const acquiring = pool.acquire('trainer', { ...options, onWaiting: (why) => said.push(why) });
    await vi.waitFor(() => expect(said).toEqual([`its Job cannot be made yet: ${message}`]));
    cluster.create = create;
    const pod = cluster.pod(await vi.waitFor(made, { timeout: 5000 }), 1);
    cluster.put('pods', pod);
    await register(pod);
    expect((await acquiring).id).toBe(pod.metadata?.name);
  });

  test('a Job that the API server refuses for good is an error', async () => {
    cluster.create = async () => {
      throw new KubernetesError(422, 'Invalid', 'spec.template: required');
    };
    await expect(pool.acquire('trainer', options)).rejects.toMatchObject({
      reason: 'WORKER_START_FAILED',
      message: expect.stringContaining("the trainer's Job was refused"),
    });
  });

  test('gives up when nobody wants the worker any more', async () => {
    const controller = new AbortController();
    const acquiring = pool.acquire('trainer', { ...options, signal: controller.signal });
    await made();
    controller.abort(new DOMException('cancelled', 'AbortError'));
    await expect(acquiring).rejects.toThrow('cancelled');
    expect(cluster.removed).toEqual(['jsigr-trainer-abc']);
  });

  test('a Job of an earlier attempt that has ended makes room for a new one', async () => {
    await acquired();
    const finished = { ...cluster.job, status: { conditions: [{ type: 'Complete', status: 'True' }] } } as Job;
    cluster.put('jobs', finished);
    pool.close();
    pool = makePool();
    const again = pool.acquire('trainer', options);
    await vi.waitFor(() => expect(cluster.removed).toEqual(['jsigr-trainer-abc']));
    const pod = cluster.pod(await made(), 2);
    cluster.put('pods', pod);
    await register(pod);
    expect((await again).id).toBe('jsigr-trainer-abc-0-2');
  });

  test('a Job with more workers than are wanted by now makes room for another one', async () => {
    const shard = (index: number, count: number) =>
      pool.acquire('attacker', { run: 'evaluations/abc', shard: { index, count } });
    const [first] = [shard(0, 2), shard(1, 2).catch(() => undefined)];
    const job = await made();
    const pod = cluster.pod(job, 1, { phase: 'Running' }, 0);
    cluster.put('pods', pod);
    await register(pod);
    await first;
    await pool.close();
    pool = makePool();
    const rest = shard(0, 1);
    await vi.waitFor(() => expect(cluster.job?.spec?.completions).toBe(1));
    expect(cluster.removed).toEqual(['jsigr-attacker-abc']);
    // Of the Job before: it is about to go.
    await register(pod);
    const next = cluster.pod(await made(), 2, { phase: 'Running' }, 0);
    cluster.put('pods', next);
    await register(next);
    expect((await rest).id).toBe(next.metadata?.name);
  });

  test('the next gateway takes over what goes on, and removes what it does not need', async () => {
    const { job, pod } = await acquired();
    await pool.close();
    pool = makePool(200);
    const taken = pool.acquire('trainer', options);
    await register(pod);
    expect((await taken).id).toBe(pod.metadata?.name);
    const leftover = { ...job, metadata: { ...job.metadata, name: 'jsigr-trainer-leftover' } };
    cluster.put('jobs', leftover);
    await vi.waitFor(() => expect(cluster.removed).toEqual(['jsigr-trainer-leftover']));
  });

  describe('a worker that outlives its gateway', () => {
    /** What the store has of the worker that a gateway had. */
    const stored = ({ id, kind, address, fencingToken, token = '' }: Worker) =>
      [kind, { id, address, fencingToken, tokenDigest: tokenDigest(token) }] as const;
    const next = (leaseMs?: number) => {
      pool = makePool(200, leaseMs);
      return pool;
    };
    const { signal } = new AbortController();

    test('goes on with its lease, in use, by a token that the API server does not know any more', async () => {
      const { worker, pod, leaseId } = await acquired();
      await pool.close();
      const adopting = next().adopt(...stored(worker), signal);
      cluster.tokensExpired = true;
      await pool.verify(tokenOf(pod));
      const adopted = await adopting;
      expect(adopted).toMatchObject({ id: worker.id, address: worker.address, token: worker.token });
      expect(adopted?.fencingToken).toBe(worker.fencingToken);
      expect(registry.renew({ leaseId, load: 1 }, callerOf(pod))).toMatchObject({ released: false });
      expect(pool.list()).toMatchObject([{ id: worker.id, users: 1 }]);
      // Longer than a Job that nobody uses is kept.
      await setTimeout(300);
      expect(cluster.removed).toEqual([]);
      if (adopted) await pool.release(adopted);
      expect(registry.renew({ leaseId, load: 0 }, callerOf(pod))).toMatchObject({ released: true });
    });

    test('stays at work, whoever releases it, once the gateway is about to stop', async () => {
      const { worker, pod, leaseId } = await acquired();
      const waiting = new AbortController();
      const other = pool.acquire('attacker', { run: 'trainingRuns/abc', signal: waiting.signal });
      await vi.waitFor(() => expect(cluster.objects.get('jobs')?.size).toBe(2));
      expect(pool.leave()).toBe(true);
      await pool.release(worker, { discard: true });
      waiting.abort(new DOMException('the gateway stops', 'AbortError'));
      await expect(other).rejects.toThrow('the gateway stops');
      await pool.close();
      expect(cluster.removed).toEqual([]);
      expect(registry.renew({ leaseId, load: 1 }, callerOf(pod))).toMatchObject({ released: false });
    });

    test('is lost when something becomes of its pod', async () => {
      const { worker, pod } = await acquired();
      await pool.close();
      const adopting = next().adopt(...stored(worker), signal);
      await pool.verify(tokenOf(pod));
      const adopted = await adopting;
      cluster.put('pods', { ...pod, status: { phase: 'Failed', reason: 'Evicted', message: 'low on memory' } });
      expect(await adopted?.lost).toMatch(/was evicted: low on memory/);
    });

    test('is let in by no other token', async () => {
      const { worker, pod } = await acquired();
      await pool.close();
      const stopping = new AbortController();
      const adopting = next().adopt(...stored(worker), stopping.signal);
      cluster.tokensExpired = true;
      expect(await pool.verify(tokenOf(pod, 'jsigr.dev/trainer/other'))).toBeUndefined();
      stopping.abort();
      expect(await adopting).toBeUndefined();
    });

    test.each<readonly [string, (pod: Pod) => void]>([
      ['whose pod is gone', ({ metadata }) => cluster.drop('pods', metadata?.name ?? '')],
      ['whose pod has ended', (pod) => cluster.put('pods', { ...pod, status: { phase: 'Failed' } })],
      ['that does not renew its lease', () => {}],
    ])(
      '%s: there is none',
      async (_, happen) => {
        const { worker, pod, leaseId } = await acquired();
        await pool.close();
        happen(pod);
        expect(await next(100).adopt(...stored(worker), signal)).toBeUndefined();
        expect(() => registry.renew({ leaseId, load: 1 }, callerOf(pod))).toThrow(/there is no lease/);
      },
      10_000,
    );
  });

  const withTemplate = (template: string) =>
    cluster.put('configmaps', { metadata: { name: 'jsigr-workers' }, data: { 'trainer.yaml': template } } as never);

  test('a template that breaks an invariant is said before anything is made, and waited for', async () => {
    await pool.close();
    pool = makePool(60_000, 60_000, 20);
    withTemplate('spec: {parallelism: 2}');
    const said: string[] = [];
    const acquiring = pool.acquire('trainer', { ...options, onWaiting: (why) => said.push(why) });
    await vi.waitFor(() => expect(said[0]).toMatch(/cannot be made yet: trainer.yaml .*spec.parallelism is 2/));
    expect(cluster.job).toBeUndefined();
    withTemplate('spec: {activeDeadlineSeconds: 60}');
    const pod = cluster.pod(await made(), 1);
    cluster.put('pods', pod);
    await register(pod);
    expect((await acquiring).id).toBe(pod.metadata?.name);
  });

  test('a template that was broken meanwhile is no business of a Job that goes on', async () => {
    const { worker, job, pod } = await acquired();
    cluster.put('pods', { ...pod, status: { phase: 'Failed' } });
    await worker.lost;
    await pool.release(worker, { discard: true });
    withTemplate('{');
    const again = pool.acquire('trainer', options);
    const next = cluster.pod(job, 2);
    cluster.put('pods', next);
    await register(next);
    expect((await again).id).toBe(next.metadata?.name);
  });
});

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}.ts`, import.meta.url));

/** The pool with pods that are processes, and an autoscaler that starts an explainer when one is wanted. */
async function makeWithNode({ program, idleMs, leaseMs }: PoolTestOptions): Promise<PoolUnderTest> {
  const ownCluster = new FakeCluster();
  const ownRegistry = new WorkerRegistry({ leaseMs, nextToken: async () => ++tokens });
  let own: KubernetesPool;
  const server = await startRegistryServer(ownRegistry, (token) => own.verify(token));
  const common = { registry: ownRegistry, gatewayAddress: () => server.address, image: 'jsigr-{kind}', logger };
  own = new KubernetesPool({ ...common, client: ownCluster.client, idleMs });
  const entry = (kind: WorkerKindName) => fixture(program === 'healthy' ? kind : program);
  const node = new FakeNode({ cluster: ownCluster, gateway: () => server.address, entry });
  const stopping = new AbortController();
  void own.explainers.changed(stopping.signal).then(
    () => node.addExplainer(),
    () => undefined,
  );
  return {
    pool: own,
    alive: () => node.alive,
    kill: (id) => node.signal(id, 'SIGKILL'),
    freeze: (id) => node.signal(id, 'SIGSTOP'),
    async close() {
      stopping.abort();
      await own.close();
      await node.close();
      ownRegistry.close();
      await server.close();
    },
  };
}

workerPoolSuite(makeWithNode, {
  killed: /^the trainer \(pod jsigr-trainer-test-0-1\) was killed \(exit code 137\)/,
  crashed: /^the Job jsigr-trainer-test failed: its pods failed too often; its last pod ended with exit code 3$/,
});
