import { type Evaluation, EvaluationServiceClient, GetEvaluationResponse } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jsigr } from './support/command.ts';
import { GatewayProcess, workersOf } from './support/gateway-process.ts';
import {
  type InferenceModel,
  type InferenceServer,
  startGrpcInference,
  startHttpInference,
} from './support/inference-server.ts';

// Somebody else's model behind the Open Inference Protocol, attacked through the command and a gateway, with nothing but its scores.

/** Fixed waves as weights: right about a few of the glyphs by chance, which is enough to attack. */
const model: InferenceModel = {
  inputShape: [-1, 28, 28, 1],
  classes: 10,
  score: (image) =>
    Array.from({ length: 10 }, (_, k) => image.reduce((sum, value, i) => sum + value * Math.sin((i + 1) * (k + 1)), 0)),
};

const gateway = new GatewayProcess();
let evaluations: EvaluationServiceClient;
beforeAll(async () => {
  await gateway.start('--allow-endpoints', '127.0.0.0/8');
  evaluations = connect(EvaluationServiceClient, { address: gateway.grpcAddress });
}, 180_000);
afterAll(async () => {
  evaluations.close();
  await gateway[Symbol.asyncDispose]();
  expect(await workersOf(gateway.data)).toEqual([]);
});

let server: InferenceServer | undefined;
afterEach(async () => {
  await server?.close();
});

const command = (line: string) => jsigr([...line.split(' '), '--server', gateway.grpcAddress]);

/** @returns the digest of the model */
async function imported({ url }: InferenceServer): Promise<string> {
  const out = await command(`models import ${url} --requests-per-second 1000 --timeout 2 -o json`);
  return JSON.parse(out).model.name.replace('models/', '');
}

async function evaluated(line: string): Promise<Evaluation> {
  const lines = (await command(`evaluate ${line} --dataset glyphs --samples 200 -o json`)).trim().split('\n');
  return GetEvaluationResponse.fromJSON(JSON.parse(lines.at(-1) ?? '{}')).evaluation as Evaluation;
}

const figures = ({ report }: Evaluation) =>
  report?.attacks.map(({ attack, epsilon, robustAccuracy, forwards }) => [
    attack,
    epsilon,
    robustAccuracy?.successes,
    forwards,
  ]);

const ATTACKS = '--attack noise:0.1 --attack square:0.05,0.1:queries=20';

describe('a live endpoint', { timeout: 180_000 }, () => {
  it('falls to the same examples over HTTP and over gRPC, and the report says what could be done to it', async () => {
    server = await startHttpInference(model);
    const http = await evaluated(`${await imported(server)} ${ATTACKS}`);
    await server.close();
    server = await startGrpcInference(model);
    const digest = await imported(server);
    const trial = server.seen.images;
    const grpc = await evaluated(`${digest} ${ATTACKS}`);
    expect(figures(grpc)).toEqual(figures(http));
    const left = grpc.report?.attacks.map(({ robustAccuracy }) => robustAccuracy?.successes ?? 0) ?? [];
    expect(grpc.report?.cleanAccuracy?.successes).toBeGreaterThan(5);
    expect(left.at(-1)).toBeLessThan(left[0] ?? 0);
    expect(grpc.report?.flags).toEqual([
      expect.stringMatching(/^the model was attacked as a black box.*it is a live endpoint, grpc:/),
    ]);
    const asked = grpc.report?.attacks.reduce((sum, { forwards }) => sum + forwards, 200);
    expect(server.seen.images - trial).toBe(asked);
  });

  it('that gives probabilities is attacked by their logarithms, and that is said', async () => {
    const softmax = (row: readonly number[]) => {
      const powers = row.map((score) => Math.exp((score - Math.max(...row)) / 10));
      return powers.map((power) => power / powers.reduce((a, b) => a + b));
    };
    server = await startHttpInference({ ...model, score: (image) => softmax(model.score(image)) });
    const { report } = await evaluated(`${await imported(server)} --attack square:0.1:queries=20`);
    expect(report?.flags.join()).toContain('it gives probabilities; their logarithms are used as logits');
    expect(report?.attacks[0]?.attackSuccess?.value).toBeGreaterThan(0.5);
  });

  it('is asked no more often than the budget allows', async () => {
    server = await startHttpInference(model);
    const digest = await imported(server);
    const trial = server.seen.images;
    const { report } = await evaluated(`${digest} --attack square:0.01:queries=1000 --max-queries 400`);
    expect(server.seen.images - trial).toBeLessThanOrEqual(400);
    expect(server.seen.images - trial).toBeGreaterThan(300);
    expect(report?.flags.join()).toContain('the budget was spent');
    expect(report?.command).toContain('--max-queries 400');
  });

  it('that fails in the middle costs nothing that was found: the evaluation goes on from its ledger', async () => {
    server = await startHttpInference(model);
    const digest = await imported(server);
    const whole = await evaluated(`${digest} ${ATTACKS}`);
    const needed = server.seen.requests;
    await server.close();
    // The same model at the same address: busy for ever after two thirds of the requests.
    const port = Number(new URL(server.url).port);
    server = await startHttpInference(model, port);
    server.busyAfter = Math.floor((2 * needed) / 3);
    const failure = await evaluated(`${digest} ${ATTACKS}`).catch((error: Error) => error.message);
    expect(failure).toMatch(/failed: the endpoint http:.* failed 5 times in a row; at last: .*busy/);
    const ledger = /--resume ([0-9a-f]{64}) goes on from it/.exec(String(failure))?.[1];
    server.busyAfter = Number.POSITIVE_INFINITY;
    const before = server.seen.images;
    const resumed = await evaluated(`${digest} ${ATTACKS} --resume ${ledger}`);
    expect(figures(resumed)).toEqual(figures(whole));
    expect(resumed.report?.ledger).toBe(whole.report?.ledger);
    expect(server.seen.images - before).toBeLessThan(
      whole.report?.attacks.reduce((sum, one) => sum + one.forwards, 200) ?? 0,
    );
    await expect(evaluated(`${digest} ${ATTACKS} --seed 9 --resume ${ledger}`)).rejects.toThrow(
      /another model, dataset, plan, loss, seed/,
    );
  });

  it('that lies about shapes fails the evaluation with what it said', async () => {
    server = await startHttpInference(model);
    const digest = await imported(server);
    const port = Number(new URL(server.url).port);
    await server.close();
    server = await startHttpInference(
      {
        ...model,
        distort: ({ shape: [n = 0], data, datatype = '' }) => ({ shape: [n, 5], data: data.slice(0, 5 * n), datatype }),
      },
      port,
    );
    await expect(evaluated(`${digest} ${ATTACKS}`)).rejects.toThrow(
      /failed: .*gave scores of the shape \[\d+,5\] for \d+ images of 10 classes/,
    );
    const { evaluations: all } = await unary(evaluations, 'listEvaluations', { pageSize: 1, pageToken: '' });
    expect(all[0]?.state).toBe('RUN_STATE_FAILED');
  });

  it.each([
    ['a gradient attack', '--attack pgd:0.1', /pgd needs gradients, and the model has none: it is a live endpoint/],
    ['a look at masking', '--attack noise:0.1 --assess-masking', /spec\.plan\.assessMasking: needs gradients/],
    ['an epsilon above 1', '--attack square:1.5', /spec\.plan\.attacks\[0\]\.epsilons\[0\]: 1\.5 given/],
    ['a negative epsilon', '--attack square:-0.1', /-0\.1 given, a number from 0 to 1 allowed/],
    [
      'a budget below the clean samples',
      '--attack noise:0.1 --max-queries 10',
      /maxQueries: the clean samples alone are 200 queries/,
    ],
  ])('refuses %s in one sentence', async (_, options, message) => {
    server = await startHttpInference(model);
    await expect(evaluated(`${await imported(server)} ${options}`)).rejects.toThrow(message);
  });

  it('cannot be a surrogate, explained, or exported', async () => {
    server = await startHttpInference(model);
    const digest = await imported(server);
    const attack = `evaluate ${digest} --dataset glyphs --attack mi-fgsm:0.1 --surrogate ${digest} --samples 10`;
    await expect(command(attack)).rejects.toThrow(/surrogates\[0\]: .* has no gradients: it is a live endpoint/);
    await expect(command(`explain ${digest} --sample glyphs:1 --method gradient --out x.png`)).rejects.toThrow(
      /live endpoint, which can only be attacked/,
    );
    await expect(command(`models export ${digest} --format onnx --out x.onnx`)).rejects.toThrow(
      /live endpoint, which can only be attacked/,
    );
  });
});
