import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { EvaluationServiceClient, ExplainRequest, ExplanationServiceClient } from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { jsigr } from '../support/command.ts';
import { Cluster } from './support/cluster.ts';
import { skipped } from './support/control-plane.ts';
import { manifests } from './support/installation.ts';
import { Keda } from './support/keda.ts';

const TRAINED_MS = 240_000;

describe.skipIf(skipped('full'))(
  'the whole story, on a real control plane with a node that runs pods as processes',
  () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.start();
      await cluster.startNode('gpu-a', 4);
    }, 240_000);
    afterAll(() => cluster?.stop(), 60_000);

    const resource = (kind: string, name: string, spec: object) =>
      cluster.apply({ apiVersion: 'jsigr.dev/v1alpha1', kind, metadata: { name }, spec });
    const attacks = [
      { name: 'fgsm', epsilons: ['0.05', '0.1'] },
      { name: 'pgd', epsilons: ['0.1'], settings: { steps: 5 } },
    ];

    /** Long enough for a shard to be killed in the middle: few fall to so small a radius, so that the queries are all asked. */
    const plan = {
      modelFrom: { trainingRun: 'story' },
      samples: 256,
      attacks: [...attacks, { name: 'square', epsilons: ['0.01'], settings: { queries: 500 } }],
      assessMasking: true,
    };

    test(
      'a TrainingRun trains in a pod, an attacker follows it in another, and the figures are in its status',
      async () => {
        const loop = { samples: 64, attacks };
        await resource('TrainingRun', 'story', {
          ...{
            dataset: 'datasets/glyphs',
            architecture: 'mlp',
            objective: { name: 'standard' },
            epochs: 2,
            seed: 1,
            loop,
          },
        });
        const { status } = await cluster.until(
          'jtrain/story',
          ({ status }) => /Succeeded|Failed/.test(status?.state),
          TRAINED_MS,
        );
        expect(status).toMatchObject({ state: 'Succeeded', progress: '100%', maskingVerdict: 'NotAssessed' });
        expect(Number(status.cleanAccuracy.value)).toBeGreaterThan(0.5);
        expect(Number(status.robustAccuracy.value)).toBeLessThanOrEqual(Number(status.cleanAccuracy.value));
        expect(status.robustAccuracy).toMatchObject({ epsilon: '0.1', samples: 64, access: 'WhiteBox' });
        const { items } = await cluster.get('jobs');
        // biome-ignore lint/suspicious/noExplicitAny: whatever the API server says
        const owners = items.map(({ metadata }: any) => [
          metadata.labels['app.kubernetes.io/component'],
          metadata.ownerReferences?.[0].name,
        ]);
        expect(owners.sort()).toEqual([
          ['attacker', 'story'],
          ['trainer', 'story'],
        ]);
        await cluster.until('jobs', ({ items }) =>
          items.every((job: { status: { succeeded?: number } }) => job.status.succeeded === 1),
        );
      },
      TRAINED_MS,
    );

    test(
      'a RobustnessEvaluation in 4 shards is what one attacker finds',
      async () => {
        await resource('RobustnessEvaluation', 'whole', plan);
        await resource('RobustnessEvaluation', 'shards', { ...plan, shards: 4 });
        const finished = async (name: string) => {
          const found = await cluster.until(
            `jeval/${name}`,
            ({ status }) => /Succeeded|Failed/.test(status?.state),
            TRAINED_MS,
          );
          expect(found.status.conditions.at(-1).message).toBe('attacked 256 samples');
          return found.status;
        };
        const [whole, shards] = [await finished('whole'), await finished('shards')];
        for (const field of ['cleanAccuracy', 'robustAccuracy', 'maskingVerdict', 'ledger', 'model'])
          expect(shards[field], field).toEqual(whole[field]);
        const job = await cluster.get(`job/jsigr-attacker-${shards.run.split('/')[1]}`);
        expect(job.spec).toMatchObject({ completions: 4, completionMode: 'Indexed' });
        const client = connect(EvaluationServiceClient, { address: cluster.grpcAddress });
        const reports = await Promise.all(
          [whole, shards].map(
            async ({ run }) => (await unary(client, 'getEvaluation', { name: run })).evaluation?.report,
          ),
        );
        client.close();
        const timeless = reports.map((report) =>
          JSON.stringify(report, (key, value) => (key === 'seconds' ? undefined : value)),
        );
        expect(timeless[1]).toBe(timeless[0]);
      },
      TRAINED_MS,
    );

    test(
      'a shard that is killed is attacked again, to the same figures',
      async () => {
        await resource('RobustnessEvaluation', 'battered', { ...plan, shards: 4 });
        const { status } = await cluster.until('jeval/battered', (each) => each.status?.run !== undefined);
        const client = connect(EvaluationServiceClient, { address: cluster.grpcAddress });
        // Above three quarters all four shards have begun; the first one's attacker is needed to the end.
        for await (const { event } of serverStream(client, 'watchEvaluation', { name: status.run, afterSequence: 0 }))
          if (event?.payload?.$case === 'evaluationProgress' && event.payload.value.fraction > 0.76) break;
        client.close();
        const first = `jsigr.dev/run=${status.run.split('/')[1]},batch.kubernetes.io/job-completion-index=0`;
        const [pod = ''] = await cluster.podsOf(first);
        const jobOf = () => cluster.get(`job/jsigr-attacker-${status.run.split('/')[1]}`);
        const { uid } = (await jobOf()).metadata;
        cluster.kill(pod);
        await cluster.kubectl('wait', '--for=condition=Complete', 'jeval/battered', '--timeout=200s');
        const [whole, battered] = [await cluster.get('jeval/whole'), await cluster.get('jeval/battered')];
        for (const field of ['cleanAccuracy', 'robustAccuracy', 'maskingVerdict', 'ledger', 'model'])
          expect(battered.status[field], field).toEqual(whole.status[field]);
        expect(await cluster.kubectl('describe', 'jeval/battered')).toMatch(
          /Normal +Running .*was killed.*; shard 1 of 4 (goes on from its ledger|begins again), the others go on/,
        );
        // The Job has made another pod of that index, and no other one.
        expect((await jobOf()).metadata.uid).toBe(uid);
        const { items } = await cluster.get(`pods -l jsigr.dev/run=${status.run.split('/')[1]}`);
        const index = ({ metadata }: Item) => metadata.annotations?.['batch.kubernetes.io/job-completion-index'];
        expect(items.map(index).sort()).toEqual(['0', '0', '1', '2', '3']);
      },
      TRAINED_MS,
    );

    describe('explanations, with something that scales as KEDA does', () => {
      const EXPLAINERS = 'app.kubernetes.io/component=explainer';
      let keda: Keda;
      let client: ExplanationServiceClient;
      let model = '';
      beforeAll(async () => {
        model = (await cluster.get('jtrain/story')).status.bestModel;
        await cluster.explainers();
        client = connect(ExplanationServiceClient, { address: cluster.grpcAddress });
        const { spec } = parse(readFileSync(join(manifests, 'components/keda/scaled-object.yaml'), 'utf8'));
        const { scalerAddress: _, ...metadata } = spec.triggers[0].metadata;
        keda = new Keda({
          ...{ plane: cluster.plane, address: cluster.grpcAddress, deployment: 'jsigr-explainer' },
          metadata: { ...metadata, targetRequests: '4', keepActiveSeconds: '4' },
          ...{ pollMs: 500, cooldownMs: 2000, stabilisationMs: 1000 },
        });
      });
      afterAll(async () => {
        client?.close();
        await keda?.stop();
      });

      const explain = async (index: number) => {
        const value = { dataset: 'datasets/glyphs', part: 'test', index };
        const image = { source: { $case: 'sample' as const, value } };
        const request = ExplainRequest.fromPartial({ model, image, method: 'smoothgrad' });
        const { predicted, attribution } = await unary(client, 'explain', request, { deadlineMs: 120_000 });
        return JSON.stringify([predicted, attribution?.data.toString('hex')]);
      };
      const zero = () =>
        cluster.until('pods', ({ items }: { items: Item[] }) =>
          items.every(({ metadata }) => !metadata.name.startsWith('jsigr-explainer')),
        );
      /** Requests without a pause, so many at once, until they are stopped; every one must have its answer. */
      const load = (atOnce: number) => {
        let going = true;
        let answered = 0;
        const one = async (index: number) => {
          const first = await explain(index);
          for (; going; answered++) expect(await explain(index)).toBe(first);
        };
        const all = Promise.all(Array.from({ length: atOnce }, (_, index) => one(index)));
        all.catch(() => undefined);
        return {
          answered: () => answered,
          async stop() {
            going = false;
            await all;
          },
        };
      };
      const busy = async () => {
        const { items } = await cluster.get(`pods -l ${EXPLAINERS}`);
        const cost = ({ metadata }: Item) => metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
        return (items as Item[]).filter((pod) => cost(pod) === '100').length;
      };

      test('with no explainer a request is held while a pod starts, and answered; after a while there is none again', async () => {
        expect(await keda.replicas()).toBe(0);
        expect(await explain(0)).toMatch(/^\[\d,"[0-9a-f]+"\]$/);
        expect(await keda.replicas()).toBe(1);
        await zero();
        expect(keda.set.at(-1)).toBe(0);
      }, 120_000);

      test('while the scaler answers with errors nothing goes; the gateway that comes back finds the explainer again', async () => {
        const answer = await explain(0);
        const { cooldownMs } = keda;
        keda.cooldownMs = 60_000; // a gateway that has just come back knows of no earlier requests
        await cluster.stopGateway('SIGKILL');
        const before = keda.errors;
        await vi.waitFor(() => expect(keda.errors).toBeGreaterThan(before + 8), { timeout: 30_000 });
        expect(await keda.replicas()).toBe(1);
        const [pod] = await cluster.podsOf(EXPLAINERS);
        await cluster.startGateway();
        expect(await explain(0)).toBe(answer);
        expect(await cluster.podsOf(EXPLAINERS)).toEqual([pod]);
        keda.cooldownMs = cooldownMs;
      }, 120_000);

      test('under load a second one starts, and both get requests; what a killed or departing one had the other answers', async () => {
        keda.most = 2;
        const requests = load(12);
        await vi.waitFor(async () => expect(await busy()).toBe(2), { timeout: 60_000, interval: 200 });
        const goesOn = async () => {
          const already = requests.answered();
          await vi.waitFor(() => expect(requests.answered()).toBeGreaterThan(already + 50), { timeout: 30_000 });
        };
        await goesOn();
        const [first = ''] = await cluster.podsOf(EXPLAINERS);
        cluster.kill(first);
        await goesOn();
        keda.most = 1;
        await vi.waitFor(async () => expect((await cluster.podsOf(EXPLAINERS)).length).toBe(1), {
          timeout: 30_000,
          interval: 200,
        });
        await goesOn();
        await requests.stop();
        await zero();
      }, 180_000);
    });

    describe('the CLI from outside the cluster', () => {
      /** A pod behind the gateway's Service; the port is that of the gateway's process. */
      const gatewayPod = async () => {
        const { spec } = await cluster.get('deployment/jsigr-gateway');
        const { securityContext, containers } = spec.template.spec;
        const [{ securityContext: restricted }] = containers;
        const [, port] = cluster.grpcAddress.split(':');
        const container = { name: 'gateway', image: 'none', securityContext: restricted, command: ['sleep', '600'] };
        await cluster.apply({
          ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'gateway', labels: spec.template.metadata.labels } },
          spec: {
            ...{ securityContext, tolerations: [{ operator: 'Exists' }], nodeName: 'gpu-a' },
            containers: [{ ...container, ports: [{ name: 'grpc', containerPort: Number(port) }] }],
          },
        });
      };
      const command = (...line: string[]) => jsigr(line, { KUBECONFIG: cluster.plane.kubeconfig });

      test('--context goes through the API server to the pod of the gateway', async () => {
        await expect(command('--context', 'nowhere', 'runs', 'list')).rejects.toThrow(
          '"nowhere" given; the kubeconfig has test',
        );
        await expect(command('--context', 'test', '--namespace', 'default', 'runs', 'list')).rejects.toThrow(
          /there is no Service jsigr-gateway in the namespace default of the context test\nhint: say the namespace/,
        );
        await expect(command('--context', 'test', 'runs', 'list')).rejects.toThrow(/no pod of the gateway .* is ready/);
        await gatewayPod();
        await cluster.kubectl('wait', '--for=condition=Ready', 'pod/gateway', '--timeout=30s');
        const { run, bestModel } = (await cluster.get('jtrain/story')).status;
        expect(await command('--context', 'test', 'runs', 'list')).toContain(run);
        expect(await command('--context', 'test', 'runs', 'watch', run)).toContain('trained');
        // Larger than any window of the connections in between.
        const out = join(cluster.plane.folder, 'model.onnx');
        await command('--context', 'test', 'models', 'export', bestModel, '--format', 'onnx', '--out', out);
        expect(statSync(out).size).toBeGreaterThan(100_000);
        await cluster.kubectl('delete', 'pod/gateway');
      }, 120_000);
    });

    test('deleting a TrainingRun cancels it; its Jobs and their processes are gone', async () => {
      await resource('TrainingRun', 'unwanted', {
        ...{ dataset: 'datasets/glyphs', architecture: 'lenet', objective: { name: 'standard' }, epochs: 500 },
      });
      const { status } = await cluster.until('jtrain/unwanted', ({ status }) => status?.state === 'Running', 60_000);
      const job = `jsigr-trainer-${status.run.split('/')[1]}`;
      await cluster.kubectl('delete', 'jtrain/unwanted', '--timeout=30s');
      const isGone = ({ items }: { items: Item[] }) => items.every(({ metadata }) => !metadata.name.startsWith(job));
      await cluster.until('pods', isGone, 100_000);
      expect(await cluster.kubectl('get', 'jobs', '-o', 'name')).not.toContain(job);
    }, 180_000);
  },
);

interface Item {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
}
