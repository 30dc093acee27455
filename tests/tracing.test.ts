import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Metadata } from '@grpc/grpc-js';
import { ExplainRequest, ExplanationServiceClient, RunState, TrainingServiceClient, TrainingSpec } from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service';
import { afterEach, describe, expect, test } from 'vitest';
import { type CollectedSpan, startCollector } from './support/collector.ts';
import { GatewayProcess } from './support/gateway-process.ts';

const EPOCHS = 2;
const plan = {
  attacks: [{ attack: 'fgsm', norm: 'linf', epsilons: [0.1] }],
  samples: 20,
  part: 'held-out',
};

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function started(environment: Readonly<Record<string, string>>): Promise<GatewayProcess> {
  const gateway = new GatewayProcess(undefined, environment);
  closing.push(() => gateway[Symbol.asyncDispose]());
  return gateway.start();
}

/** Trains a small network with an attacker beside it, to the end. @returns the run and how it ended */
async function train(
  gateway: GatewayProcess,
  traceparent?: string,
): Promise<{ name: string; state: RunState | undefined }> {
  const client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
  closing.push(() => client.close());
  const spec = TrainingSpec.fromPartial({
    dataset: 'datasets/glyphs',
    architecture: 'mlp',
    objective: 'standard',
    epochs: EPOCHS,
    batchSize: 256,
    seed: 1,
    loop: { enabled: true, plan },
  });
  const request = { spec, displayName: '', labels: {}, requestId: '' };
  const { trainingRun } = await unary(client, 'createTrainingRun', request, { metadata: traced(traceparent) });
  const name = trainingRun?.name ?? '';
  for await (const _ of serverStream(client, 'watchTrainingRun', { name, afterSequence: 0 }));
  const { trainingRun: ended } = await unary(client, 'getTrainingRun', { name });
  return { name, state: ended?.state };
}

function traced(traceparent: string | undefined): Metadata {
  const metadata = new Metadata();
  if (traceparent) metadata.set('traceparent', traceparent);
  return metadata;
}

describe('a trace', () => {
  for (const protocol of ['http/protobuf', 'grpc'] as const)
    test(`goes from a creation to the attack on the last checkpoint, over all processes (OTLP, ${protocol})`, async () => {
      const collector = await startCollector();
      closing.push(() => collector.close());
      const gateway = await started({
        OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? collector.grpcUrl : collector.httpUrl,
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      });
      const [trace, caller] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
      const traceparent = `00-${trace}-${caller}-01`;
      const { name, state } = await train(gateway, traceparent);
      expect(state).toBe(RunState.RUN_STATE_SUCCEEDED);
      const explanations = connect(ExplanationServiceClient, { address: gateway.grpcAddress });
      closing.push(() => explanations.close());
      const models = connect(TrainingServiceClient, { address: gateway.grpcAddress });
      closing.push(() => models.close());
      const { trainingRun } = await unary(models, 'getTrainingRun', { name });
      const sample = { dataset: 'datasets/glyphs', part: 'test', index: 1 };
      const asked = {
        model: trainingRun?.latestModel ?? '',
        image: { source: { $case: 'sample', value: sample } },
      } as const;
      const request = ExplainRequest.fromPartial(asked);
      await unary(explanations, 'explain', request, { metadata: traced(traceparent) });
      const { ownerToken } = JSON.parse(readFileSync(join(gateway.data, 'gateway.json'), 'utf8'));
      expect(await gateway.stop()).toBe(0);

      const spans = collector.spans.filter((span) => span.trace === trace);
      const byId = new Map(spans.map((span) => [span.id, span]));
      const find = (service: string, named: string, kind = 1) => {
        const found = spans.filter(
          (span) => [span.service, span.name, span.kind].join() === [service, named, kind].join(),
        );
        expect(found, `${named} of ${service}`).not.toEqual([]);
        return found as [CollectedSpan, ...CollectedSpan[]];
      };
      const parentOf = ({ parent }: CollectedSpan) => byId.get(parent);
      const [SERVER, CLIENT] = [2, 3];

      // Every span hangs together with the call that began it.
      for (const span of spans) expect(span.parent === caller || parentOf(span) !== undefined, span.name).toBe(true);
      const [created] = find('jsigr-gateway', 'jsigr.v1.TrainingService/CreateTrainingRun', SERVER);
      expect(created.parent).toBe(caller);
      const [run] = find('jsigr-gateway', 'training run');
      expect(run.parent).toBe(created.id);
      expect(run.attributes).toMatchObject({ 'jsigr.run': name, 'jsigr.run.kind': 'training' });
      const [given] = find('jsigr-trainer', 'jsigr.v1.TrainerService/StartTraining', SERVER);
      const asking = parentOf(given);
      expect(asking).toMatchObject({ service: 'jsigr-gateway', kind: CLIENT, parent: run.id });
      const [training] = find('jsigr-trainer', 'train');
      expect(training.parent).toBe(given.id);
      expect(training.attributes).toMatchObject({
        'jsigr.objective': 'standard',
        'jsigr.outcome': 'RUN_STATE_SUCCEEDED',
      });
      const saved = find('jsigr-trainer', 'save checkpoint');
      expect(saved.map(({ parent }) => parent)).toEqual(saved.map(() => training.id));
      const steps = saved.map(({ attributes }) => Number(attributes['jsigr.checkpoint.step']));
      const last = Math.max(...steps);
      const attacks = find('jsigr-attacker', 'attack checkpoint');
      const attack = attacks.find(({ attributes }) => Number(attributes['jsigr.checkpoint.step']) === last);
      if (!attack) throw new Error('the last checkpoint was not attacked');
      const following = parentOf(attack);
      expect(following).toMatchObject({
        service: 'jsigr-attacker',
        name: 'jsigr.v1.AttackerService/FollowRun',
        kind: SERVER,
      });
      expect(following && parentOf(following)).toMatchObject({
        service: 'jsigr-gateway',
        kind: CLIENT,
        parent: run.id,
      });
      const reports = find('jsigr-trainer', 'jsigr.v1.TrainerService/ReportRobustness', SERVER);
      const senders = reports.map((report) => parentOf(report));
      expect(senders.map((sender) => sender && parentOf(sender)?.id)).toContain(attack.id);
      const [explained] = find('jsigr-explainer', 'explain');
      const chain: string[] = [];
      for (let at: CollectedSpan | undefined = explained; at; at = parentOf(at)) chain.push(`${at.service} ${at.name}`);
      expect(chain.at(-1)).toBe('jsigr-gateway jsigr.v1.ExplanationService/Explain');
      expect(spans.filter(({ failed }) => failed)).toEqual([]);

      // Neither secrets nor images.
      const told = JSON.stringify(collector.spans);
      expect(told).not.toContain(ownerToken);
      expect(told).not.toMatch(/bearer|authorization|token/i);
      expect(
        Math.max(
          ...collector.spans.flatMap(({ attributes }) =>
            Object.values(attributes).map((value) => String(value).length),
          ),
        ),
      ).toBeLessThan(501);
    });
});

describe('a collector', () => {
  test('that takes calls and never answers hurts neither a run nor the end of the gateway', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    closing.push(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const gateway = await started({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
    expect((await train(gateway)).state).toBe(RunState.RUN_STATE_SUCCEEDED);
    expect(await gateway.stop()).toBe(0);
  });

  test('that is not there hurts neither', async () => {
    const gateway = await started({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    });
    expect((await train(gateway)).state).toBe(RunState.RUN_STATE_SUCCEEDED);
    expect(await gateway.stop()).toBe(0);
  });
});

describe('without the packages of the SDK', () => {
  const program = fileURLToPath(new URL('../gateway/dist/main.js', import.meta.url));

  /** Starts a gateway in whose installation nothing of OpenTelemetry but its API can be found. */
  async function startBare(): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'jsigr-bare-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const hook = join(folder, 'hook.mjs');
    writeFileSync(
      hook,
      `import { registerHooks } from 'node:module';
       registerHooks({ resolve(name, context, next) {
         if (/^@opentelemetry\\/(?!api$)/.test(name)) throw new Error(name + ' is not installed');
         return next(name, context);
       } });`,
    );
    const child = spawn(process.execPath, ['--import', hook, program], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        JSIGR_DATA_DIRECTORY: join(folder, 'data'),
        JSIGR_GRPC_PORT: '0',
        JSIGR_HTTP_PORT: '0',
        JSIGR_LOG_LEVEL: 'info',
      },
    });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes('the gateway is ready')) child.kill('SIGTERM');
    });
    await once(child, 'exit');
    return output;
  }

  test('a gateway that sends no traces starts as ever', async () => {
    expect(await startBare()).toContain('the gateway is ready');
  });
});
