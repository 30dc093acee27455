import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { type TrainingRun, TrainingServiceClient } from '@jsigr/proto';
import { type ClientTls, connect, createLogger, openTls, serverStream, unary } from '@jsigr/service';
import { type Authority, authority, freePort } from '@jsigr/service/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { isServing } from '../../gateway/src/workers/health.ts';
import { Cluster } from './support/cluster.ts';
import { skipped } from './support/control-plane.ts';
import { eventually } from './support/eventually.ts';
import { manifests } from './support/installation.ts';
import { writeSecret } from './support/secret-volume.ts';

const TRAINED_MS = 300_000;
const logger = createLogger('tls', 'silent');

describe.skipIf(skipped('full'))(
  'everything encrypted and both sides known, as components/tls and components/mtls have it',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'jsigr-tls-'));
    /** Where the gateway has its Secret. */
    const mounted = join(folder, 'mounted');
    let issuer: Authority;
    let cluster: Cluster;
    let healthPort: number;
    let looker: ReturnType<Authority['issue']>;
    let withCertificate: ClientTls;
    let without: ClientTls;

    beforeAll(async () => {
      issuer = authority(join(folder, 'authority'));
      writeSecret(mounted, secretOf('gateway', ['DNS:jsigr-gateway.jsigr.svc', 'DNS:jsigr-peer']));
      healthPort = await freePort();
      const { gateway, templates } = configuration();
      cluster = await Cluster.start({ ...gateway, JSIGR_HEALTH_PORT: String(healthPort) });
      await renewWorkers();
      const ports = ['JSIGR_PORT', 'JSIGR_HEALTH_PORT'].map((name) => ({ name, value: '0' }));
      await cluster.templates({ env: [...ports, { name: 'JSIGR_THREADS', value: '1' }] }, {}, templates);
      await cluster.startNode('gpu-a', 2);
      const [ca, serverName] = [issuer.certificate, 'jsigr-peer'];
      looker = issuer.issue('looker');
      const { client } = await openTls({ ca, serverName, ...looker }, logger);
      withCertificate = client;
      without = (await openTls({ ca, serverName }, logger)).client;
    }, 240_000);
    afterAll(async () => {
      await cluster?.stop();
      rmSync(folder, { recursive: true });
    }, 60_000);

    /** What the manifests say, with the gateway's files where they are here. */
    function configuration() {
      const overlay = join(folder, 'overlay');
      mkdirSync(overlay);
      const path = (part: string) => relative(overlay, join(manifests, part));
      const components = ['components/tls', 'components/mtls'].map(path);
      const kustomization = { kind: 'Kustomization', namespace: 'jsigr', resources: [path('base')], components };
      writeFileSync(join(overlay, 'kustomization.yaml'), stringify(kustomization));
      const kubectl = join(process.env.KUBEBUILDER_ASSETS ?? '', 'kubectl');
      const text = execFileSync(kubectl, ['kustomize', overlay], { encoding: 'utf8', maxBuffer: 2 ** 26 });
      // biome-ignore lint/suspicious/noExplicitAny: whatever the manifests have
      const objects = parseAllDocuments(text).map((document) => document.toJS() as any);
      const find = (kind: string, name: string) =>
        objects.find((object) => object.kind === kind && object.metadata.name === name);
      const [{ env }] = find('Deployment', 'jsigr-gateway').spec.template.spec.containers;
      const own = (env as { name: string; value: string }[])
        .filter(({ name }) => name.startsWith('JSIGR_TLS_'))
        .map(({ name, value }) => [name, value.replace('/tls', mounted)]);
      const templates = Object.entries(find('ConfigMap', 'jsigr-workers').data).filter(([key]) =>
        key.startsWith('tls'),
      );
      return { gateway: Object.fromEntries(own), templates: Object.fromEntries(templates) as Record<string, string> };
    }

    /** A new certificate as cert-manager writes it into a Secret. */
    function secretOf(name: string, names: readonly string[]): Record<string, Buffer> {
      const { certificate, key } = issuer.issue(name, names);
      const files = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': issuer.certificate };
      return Object.fromEntries(Object.entries(files).map(([file, path]) => [file, readFileSync(path)]));
    }
    async function renewWorkers(): Promise<void> {
      const data = Object.fromEntries(
        Object.entries(secretOf('worker', ['DNS:jsigr-peer'])).map(([key, bytes]) => [key, bytes.toString('base64')]),
      );
      await cluster.apply({
        ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'jsigr-worker-tls' } },
        ...{ type: 'kubernetes.io/tls', data },
      });
    }

    const train = (name: string, epochs: number) =>
      cluster.apply({
        ...{ apiVersion: 'jsigr.dev/v1alpha1', kind: 'TrainingRun', metadata: { name } },
        spec: {
          ...{ dataset: 'datasets/glyphs', architecture: 'mlp', objective: { name: 'standard' }, epochs, seed: 1 },
          loop: { samples: 64, attacks: [{ name: 'fgsm', epsilons: ['0.1'] }] },
        },
      });
    const get = async (run: string, tls = withCertificate): Promise<TrainingRun | undefined> => {
      const client = connect(TrainingServiceClient, { address: cluster.grpcAddress, tls });
      try {
        return (await unary(client, 'getTrainingRun', { name: run }, { deadlineMs: 10_000 })).trainingRun;
      } finally {
        client.close();
      }
    };
    /** Addresses of a run's workers, by kind, as its events have them; undefined while there is none. */
    async function addressOf(run: string, kind: string): Promise<string> {
      const client = connect(TrainingServiceClient, { address: cluster.grpcAddress, tls: withCertificate });
      try {
        for await (const { event } of serverStream(client, 'watchTrainingRun', { name: run, afterSequence: 0 }))
          if (event?.payload?.$case === 'workerChanged' && event.payload.value.kind === kind)
            return event.payload.value.address;
        throw new Error(`${run} has no ${kind}`);
      } finally {
        client.close();
      }
    }
    /** Serial number of the certificate that a server shows. */
    const shownBy = (address: string) =>
      new Promise<string>((resolve, reject) => {
        const [host, port] = address.split(':');
        const { certificate, key } = looker;
        const files = { ca: issuer.certificate, cert: certificate, key };
        const own = Object.fromEntries(Object.entries(files).map(([name, path]) => [name, readFileSync(path)]));
        const options = { host, port: Number(port), servername: 'jsigr-peer', ALPNProtocols: ['h2'], ...own };
        const socket = connectTls(options, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
          socket.destroy();
        });
        socket.once('error', reject);
      });

    test(
      'a run trains and is attacked; nobody without a certificate is heard, by gateway or trainer; probes need none',
      async () => {
        await train('secret', 40);
        const { status } = await cluster.until(
          'jtrain/secret',
          ({ status }) => status?.state === 'Running',
          TRAINED_MS,
        );
        const trainer = await addressOf(status.run, 'trainer');
        expect(await isServing({ address: trainer, tls: withCertificate }, 10_000)).toBe(true);
        await expect(isServing({ address: trainer, tls: without }, 2000)).rejects.toThrow();
        await expect(isServing({ address: trainer }, 2000)).rejects.toThrow();
        await expect(get(status.run, without)).rejects.toThrow();
        expect((await get(status.run))?.name).toBe(status.run);
        expect(await isServing({ address: `127.0.0.1:${healthPort}` }, 10_000)).toBe(true);

        // Renewed while the run goes on: gateway and workers show the new ones, and nothing is started again.
        const before = await Promise.all([cluster.grpcAddress, trainer].map(shownBy));
        writeSecret(mounted, secretOf('gateway', ['DNS:jsigr-gateway.jsigr.svc', 'DNS:jsigr-peer']));
        await renewWorkers();
        await eventually(
          async () => {
            const now = await Promise.all([cluster.grpcAddress, trainer].map(shownBy));
            for (const [i, serial] of now.entries()) expect(serial).not.toBe(before[i]);
          },
          { timeout: 30_000, interval: 500 },
        );
        const { status: ended } = await cluster.until(
          'jtrain/secret',
          ({ status }) => /Succeeded|Failed/.test(status?.state),
          TRAINED_MS,
        );
        expect(ended).toMatchObject({ state: 'Succeeded', robustAccuracy: { samples: 64 } });
        const pods = await cluster.kubectl('get', 'pods', '-l', 'app.kubernetes.io/component=trainer', '-o', 'name');
        expect(pods.trim().split('\n')).toHaveLength(1);
      },
      TRAINED_MS,
    );
  },
);
