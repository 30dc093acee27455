import {
  ExplainRequest,
  ExplanationServiceClient,
  ModelServiceClient,
  type RunEvent,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { collections } from '../../gateway/src/operator/resource.ts';
import { Cluster } from './support/cluster.ts';
import { contend } from './support/contend.ts';
import { skipped } from './support/control-plane.ts';
import { eventually } from './support/eventually.ts';
import { NAMESPACE } from './support/installation.ts';

const ENDED_MS = 240_000;
/** Of 118 steps. */
const EPOCHS = 20;

interface Status {
  readonly state?: string;
  readonly run: string;
  readonly bestModel?: string;
  readonly conditions: readonly { readonly type: string; readonly message: string }[];
}

describe.skipIf(skipped('full'))('what goes wrong in a cluster, on a real control plane', () => {
  let cluster: Cluster;
  /** What an undisturbed run of the same spec comes to. */
  let undisturbed = '';
  beforeAll(async () => {
    // Longer than a gateway takes to start.
    cluster = await Cluster.start({ JSIGR_LEASE_SECONDS: '12' });
  }, 240_000);
  afterAll(() => cluster?.stop(), 60_000);

  const train = (name: string) =>
    cluster.apply({
      ...{ apiVersion: 'jsigr.dev/v1alpha1', kind: 'TrainingRun', metadata: { name } },
      spec: {
        ...{
          dataset: 'datasets/glyphs',
          architecture: 'mlp',
          objective: { name: 'standard' },
          epochs: EPOCHS,
          seed: 1,
        },
      },
    });
  const until = async (name: string, look: (status: Status) => boolean, timeout = ENDED_MS): Promise<Status> =>
    (await cluster.until(`jtrain/${name}`, ({ status }) => status !== undefined && look(status), timeout)).status;
  /** Well under way: the gateway is asked, since a status is written every few seconds only. */
  async function running(name: string): Promise<Status> {
    const status = await until(name, ({ state }) => state === 'Running');
    const client = connect(TrainingServiceClient, { address: cluster.grpcAddress });
    await eventually(async () => {
      const { trainingRun } = await unary(client, 'getTrainingRun', { name: status.run });
      expect(trainingRun?.progress?.step).toBeGreaterThan(100);
    });
    client.close();
    return status;
  }
  const said = ({ conditions }: Status) => conditions.map(({ message }) => message).join('\n');
  const labelOf = (run: string) => `jsigr.dev/run=${run.split('/')[1]}`;
  const podOf = async ({ run }: Pick<Status, 'run'>): Promise<string> => (await cluster.podsOf(labelOf(run)))[0] ?? '';
  const jobOf = ({ run }: Pick<Status, 'run'>) => cluster.get(`job/jsigr-trainer-${run.split('/')[1]}`);

  /** SHA-256 of a model's weights: its own digest covers the name of its run too. */
  async function weightsOf(name = ''): Promise<string | undefined> {
    const client = connect(ModelServiceClient, { address: cluster.grpcAddress });
    const { model } = await unary(client, 'getModel', { name });
    client.close();
    return model?.files.find(({ path }) => path === 'weights.safetensors')?.sha256;
  }

  async function payloadsOf(run: string): Promise<RunEvent['payload'][]> {
    const client = connect(TrainingServiceClient, { address: cluster.grpcAddress });
    const payloads: RunEvent['payload'][] = [];
    for await (const { event } of serverStream(client, 'watchTrainingRun', { name: run, afterSequence: 0 }))
      payloads.push(event?.payload);
    client.close();
    return payloads;
  }
  /** What became of its workers. */
  const changesOf = async (run: string) =>
    (await payloadsOf(run)).flatMap((payload) => (payload?.$case === 'workerChanged' ? [payload.value.change] : []));

  /** Its events tell the story: words that must be in it, in this order. */
  async function recovered(name: string, ...words: RegExp[]): Promise<void> {
    const status = await until(name, ({ state = '' }) => /Succeeded|Failed|Cancelled/.test(state));
    expect(said(status)).toContain(`trained ${EPOCHS * 118} steps`);
    const story = (await payloadsOf(status.run))
      .flatMap((payload) => (payload?.$case === 'stateChanged' ? [payload.value.reason] : []))
      .filter((reason) => reason !== '')
      .join('\n');
    for (const word of words) expect(story).toMatch(word);
    // The same bytes as without the fault.
    expect(await weightsOf(status.bestModel)).toBe(undisturbed);
  }

  /** How many runs the gateway has made of a resource: more than one would be one too many. */
  async function runsNamed(name: string): Promise<number> {
    const client = connect(TrainingServiceClient, { address: cluster.grpcAddress });
    const { trainingRuns } = await unary(client, 'listTrainingRuns', { pageSize: 1000, pageToken: '' });
    client.close();
    return trainingRuns.filter(({ displayName }) => displayName === name).length;
  }

  test(
    'without a node with a GPU the run waits, and says what for; with one it runs',
    async () => {
      await train('first');
      const waiting = await until('first', (status) => said(status).includes('no node takes its pod'));
      expect(waiting.state).toBe('Starting');
      await cluster.startNode('gpu-a', 2);
      const { bestModel = '' } = await until('first', ({ state }) => state === 'Succeeded');
      undisturbed = (await weightsOf(bestModel)) ?? 'none';
      expect(await cluster.kubectl('describe', 'jtrain/first')).toMatch(/Normal +Starting .*no node takes its pod/);
    },
    ENDED_MS,
  );

  test(
    'a trainer that is killed is replaced, and goes on from where it stood; who watches sees it',
    async () => {
      const watching = cluster.plane.follow([
        'get',
        'jtrain',
        '-n',
        NAMESPACE,
        '-w',
        '--field-selector=metadata.name=killed',
      ]);
      await train('killed');
      const pod = await podOf(await running('killed'));
      cluster.kill(pod);
      await recovered('killed', /was killed \(exit code 137\).*it goes on from step \d+/);
      await watching.stop();
      const states = [...watching.text().matchAll(/^killed +(\w+) /gm)].map(([, state]) => state);
      const changes = states.filter((state, i) => state !== states[i - 1]).join(' ');
      expect(changes).toMatch(/Starting Running Starting Running Succeeded$/);
      expect(watching.text()).toMatch(/^killed +Running .* [1-9]\d?% /m);
    },
    ENDED_MS,
  );

  test(
    'a trainer that runs out of memory is replaced too, and the words say what to do',
    async () => {
      await train('oom');
      const pod = await podOf(await running('oom'));
      cluster.kill(pod, 'OOMKilled');
      await recovered('oom', /ran out of memory; raise the memory limit .*it goes on from step \d+/);
      const described = await cluster.kubectl('describe', 'jtrain/oom');
      expect(described).toMatch(/Normal +Starting .*the trainer \(pod .*\) was killed because it ran out of memory/);
    },
    ENDED_MS,
  );

  test.each(['evicted', 'deleted'])(
    'a trainer that is %s hands its run back, and its Job, which counts no failure, makes another one that goes on',
    async (name) => {
      await train(name);
      const status = await running(name);
      const [pod, job] = [await podOf(status), await jobOf(status)];
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace: NAMESPACE } };
      const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}/eviction`;
      if (name === 'deleted') await cluster.kubectl('delete', `pod/${pod}`, '--wait=false');
      else await cluster.plane.kubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction));
      await recovered(name, /it goes on from step \d+/);
      const described = await cluster.kubectl('describe', `jtrain/${name}`);
      // Whichever is seen first: the pod's end, or what its trainer says with its last breath.
      expect(described).toMatch(
        /Normal +Starting .*the trainer.*( was (evicted|deleted)| had to go|: handed back after step \d+).*; it goes on from step \d+/,
      );
      const { metadata, status: counts } = await jobOf(status);
      expect([metadata.uid, counts.failed ?? 0]).toEqual([job.metadata.uid, 0]);
    },
    ENDED_MS,
  );

  test(
    'spec.suspend has the trainer keep its state and go; resumed, it comes to the same result',
    async () => {
      const suspend = (value: boolean) =>
        cluster.kubectl('patch', 'jtrain/paused', '--type=merge', '-p', JSON.stringify({ spec: { suspend: value } }));
      await train('paused');
      const { run } = await running('paused');
      await suspend(true);
      await until('paused', ({ state }) => state === 'Suspended');
      const selector = `pods -l jsigr.dev/run=${run.split('/')[1]}`;
      const isOver = ({ status }: { status: { phase: string } }) => /Succeeded|Failed/.test(status.phase);
      await cluster.until(selector, ({ items }) => items.every(isOver));
      await suspend(false);
      await recovered('paused', /suspended/, /goes on from step \d+/);
    },
    ENDED_MS,
  );

  test(
    'the API server is killed and comes back while somebody changes the resource all the time: the run goes on',
    async () => {
      await train('contested');
      const storm = contend(cluster.plane, collections.TrainingRun, 'contested', true);
      try {
        await running('contested');
        await cluster.plane.restartApiServer(3000);
        await recovered('contested');
      } finally {
        await storm.stop();
      }
      expect(storm.changes()).toBeGreaterThan(20);
      // Nothing of the storm is left but what is the storm's own.
      const { metadata, status } = await cluster.get('jtrain/contested');
      expect(metadata.labels).toHaveProperty('storm');
      expect(status.observedGeneration).toBe(metadata.generation);
      expect(await runsNamed('contested')).toBe(1);
    },
    ENDED_MS,
  );

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'the gateway gets %s in the middle and is started again: its trainer goes on in the same pod, and another operator leads',
    async (signal) => {
      const name = signal.toLowerCase();
      await train(name);
      const { run } = await running(name);
      const pod = await podOf({ run });
      const lease = async () => (await cluster.get('lease/jsigr-operator')).spec;
      const { holderIdentity: dead, leaseDurationSeconds } = await lease();
      // With what a gateway takes to start, below 20 s; how long it is in all is measured by `npm run bench:kubernetes`.
      expect(leaseDurationSeconds).toBe(10);
      await cluster.stopGateway(signal);
      await cluster.startGateway();
      await eventually(async () => expect((await lease()).holderIdentity).not.toBe(dead));
      await recovered(name);
      expect(await changesOf(run)).toContain('found again by the gateway, which was started anew');
      // Those that have ended too.
      expect(await cluster.kubectl('get', 'pods', '-l', labelOf(run), '-o', 'name')).toBe(`pod/${pod}\n`);
      expect(await runsNamed(name)).toBe(1);
    },
    ENDED_MS,
  );

  test(
    'the gateway stays away for longer than a lease: the trainer goes, and its Job has another one when the gateway is back',
    async () => {
      await train('abandoned');
      const { run } = await running('abandoned');
      const [pod, job] = [await podOf({ run }), await jobOf({ run })];
      await cluster.stopGateway('SIGKILL');
      const { status } = await cluster.until(`pod/${pod}`, ({ status: { phase } }) => phase === 'Failed');
      expect(status.containerStatuses[0].state.terminated.exitCode).toBe(75);
      await cluster.startGateway();
      await recovered('abandoned', /the gateway ended without warning; the run goes on/, /goes on from step \d+/);
      const { metadata, status: counts } = await jobOf({ run });
      expect([metadata.uid, counts.failed ?? 0]).toEqual([job.metadata.uid, 0]);
    },
    ENDED_MS,
  );

  test(
    'a finished run is not started again when its Jobs are deleted',
    async () => {
      await cluster.kubectl('delete', 'jobs', '--all');
      await cluster.kubectl('annotate', 'jtrain', '--all', 'touched=yes');
      await cluster.until('jobs', ({ items }) => items.length === 0);
      const { items } = await cluster.get('jtrain');
      expect(items.map(({ status }: { status: Status }) => status.state)).toEqual(items.map(() => 'Succeeded'));
    },
    ENDED_MS,
  );

  test(
    'a node that is lost: its pod is given up, and another node goes on',
    async () => {
      await train('stranded');
      await running('stranded');
      await cluster.startNode('gpu-b', 2);
      await cluster.loseNode('gpu-a');
      await recovered('stranded', /it goes on from step \d+/);
      await cluster.kubectl('delete', 'node', 'gpu-a');
    },
    ENDED_MS,
  );

  test(
    'an image that cannot be pulled is said; deleting the resource leaves nothing behind',
    async () => {
      await cluster.templates({ image: 'missing/trainer:1' });
      await train('imageless');
      const status = await until('imageless', (each) => said(each).includes('cannot be pulled'));
      expect(said(status)).toContain('the image missing/trainer:1 cannot be pulled: Back-off pulling image');
      await cluster.kubectl('delete', 'jtrain/imageless', '--timeout=30s');
      const id = status.run.split('/')[1];
      await cluster.until(
        'pods',
        ({ items }) => items.every(({ metadata }: { metadata: { name: string } }) => !metadata.name.includes(`${id}`)),
        150_000,
      );
    },
    ENDED_MS,
  );

  test(
    'a template that breaks an invariant is told, naming the field, and the run waits until it is corrected',
    async () => {
      const put = (restartPolicy: string) => {
        const data = { 'bad.yaml': stringify({ spec: { template: { spec: { restartPolicy } } } }) };
        const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'jsigr-workers' }, data };
        return cluster.plane.kubectl(
          ['apply', '-n', NAMESPACE, '--server-side', '--force-conflicts', '-f', '-'],
          stringify(map),
        );
      };
      await put('Always');
      await train('misshapen');
      const words =
        'bad.yaml in the ConfigMap jsigr-workers: spec.template.spec.restartPolicy is "Always"; it must stay "Never"';
      await until('misshapen', (status) => said(status).includes(words));
      await put('Never');
      const status = await until('misshapen', (each) => !said(each).includes(words));
      expect((await jobOf(status)).spec.template.spec.restartPolicy).toBe('Never');
      await cluster.kubectl('delete', 'jtrain/misshapen', '--timeout=60s');
    },
    ENDED_MS,
  );

  test(
    'an evaluation of a model that is not there is refused, and let go',
    async () => {
      const kind = { apiVersion: 'jsigr.dev/v1alpha1', kind: 'RobustnessEvaluation', metadata: { name: 'nothing' } };
      await cluster.apply({ ...kind, spec: { model: 'models/0123456789' } });
      await cluster.until('jeval/nothing', ({ status }) => status?.state === 'Invalid');
      await cluster.kubectl('delete', 'jeval/nothing', '--timeout=30s');
    },
    ENDED_MS,
  );

  test(
    'an explainer that somebody starts by hand serves; while it does, it is the last to be scaled down',
    async () => {
      const { bestModel } = (await cluster.get('jtrain/first')).status;
      await cluster.explainers();
      await cluster.kubectl('scale', 'deployment/jsigr-explainer', '--replicas=1');
      const client = connect(ExplanationServiceClient, { address: cluster.grpcAddress });
      const value = { dataset: 'datasets/glyphs', part: 'test', index: 0 };
      const request = ExplainRequest.fromPartial({ model: bestModel, image: { source: { $case: 'sample', value } } });
      await unary(client, 'explain', request, { deadlineMs: 180_000 });
      client.close();
      const cost = 'controller.kubernetes.io/pod-deletion-cost';
      const costs = (wanted: string) =>
        cluster.until('pods -l app.kubernetes.io/component=explainer', ({ items }) => {
          return items[0].metadata.annotations?.[cost] === wanted;
        });
      await costs('100');
      await costs('0');
      await cluster.kubectl('scale', 'deployment/jsigr-explainer', '--replicas=0');
    },
    ENDED_MS,
  );

  test('by now the gateway has used all the rights that k8s/base gives it; it has no others', async () => {
    const rules = [await cluster.get('role/jsigr-gateway'), await cluster.get('clusterrole/jsigr-gateway')];
    const granted = rules
      .flatMap((role) => role.rules)
      .flatMap(({ verbs, resources }: Rule) => resources.flatMap((name) => verbs.map((verb) => `${verb} ${name}`)));
    expect(cluster.plane.usedBy(NAMESPACE, 'jsigr-gateway')).toEqual([...new Set(granted)].sort());
    expect(cluster.plane.usedBy(NAMESPACE, 'jsigr-worker')).toEqual([]);
  });
});

interface Rule {
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}
