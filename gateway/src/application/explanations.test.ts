import { status } from '@grpc/grpc-js';
import { ExplainRequest, ExplainResponse, type ImageInput } from '@jsigr/proto';
import { failedPrecondition, invalidArgument, JsigrError, unavailable } from '@jsigr/service';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Caller, LOCAL } from '../access/caller.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';

let store: Store;
let gateway: TestGateway;
let model: string;
beforeAll(async () => {
  store = await memoryStore();
}, OPENING_MS);
afterAll(() => store.close());
beforeEach(async () => {
  gateway = await testGateway(store);
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''));
});
afterEach(() => gateway.close());

const never = new AbortController().signal;
const sample = (index: number, part = ''): ImageInput => ({
  source: { $case: 'sample', value: { dataset: TINY, part, index } },
});
const empty = ExplainRequest.fromPartial({});
const explain = (request: Partial<ExplainRequest>, signal = never, caller: Caller = LOCAL) =>
  gateway.application.explanations.explain({ ...empty, model, ...request }, caller, signal);
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

describe('explaining', () => {
  test('starts an explainer and sends it the sample as a tensor in [0,1]', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = () => ({ response: ExplainResponse.fromPartial({ predicted: 3 }) });
    };
    expect(await explain({ image: sample(2, 'train') })).toMatchObject({ predicted: 3 });
    const [explainer] = gateway.pool.explainers;
    const [request] = explainer?.requests ?? [];
    expect(request).toMatchObject({ modelDigest: model.replace('models/', '') });
    expect(request?.classNames).toHaveLength(10);
    const source = request?.request?.image?.source;
    const tensor = source?.$case === 'tensor' ? source.value : undefined;
    expect(tensor?.shape).toEqual([28, 28, 1]);
    // The image itself, from the file: safetensors keeps train.images as bytes.
    const { digest } = await gateway.application.datasets.byId('tiny');
    const file = (await gateway.artefacts.get('datasets', digest))['data.safetensors'] ?? new Uint8Array();
    const header = Number(Buffer.from(file).readBigUInt64LE());
    const layout = JSON.parse(Buffer.from(file.subarray(8, 8 + header)).toString());
    const start = 8 + header + layout['train.images'].data_offsets[0] + 2 * 784;
    const expected = Float32Array.from(file.subarray(start, start + 784), (byte) => byte / 255);
    const got = new Float32Array(Uint8Array.from(tensor?.data ?? []).buffer);
    expect(got).toEqual(expected);
    expect(explainer?.released).toEqual({ discard: false });
  });

  test('passes on what the explainer refuses, and keeps the explainer', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = () => {
        throw invalidArgument('target', '12 given, 0 to 9 allowed');
      };
    };
    expect(await failure(explain({ image: sample(0), target: 12 }))).toMatchObject({
      violations: [{ field: 'target', description: '12 given, 0 to 9 allowed' }],
    });
    expect(gateway.pool.explainers[0]?.released).toEqual({ discard: false });
  });

  test('an explainer that cannot hold the model is kept: others wait for it', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = () => {
        throw unavailable('NOT_LOADED', 'the model ab is not loaded');
      };
    };
    const error = await failure(explain({ image: sample(0) }));
    expect(error).toMatchObject({ code: status.UNAVAILABLE, reason: 'NOT_LOADED' });
    expect(gateway.pool.explainers.map(({ released }) => released)).toEqual([{ discard: false }]);
  });

  test('a request that ends every explainer comes to an end after the third', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = async () => {
        await explainer.die('was killed by SIGKILL');
        return { response: undefined };
      };
    };
    expect(await failure(explain({ image: sample(0) }))).toMatchObject({ reason: 'WORKER_LOST' });
    expect(gateway.pool.explainers).toHaveLength(3);
  });

  test('an explainer whose connection breaks is discarded, and another one asked', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = async () => {
        if (gateway.pool.explainers.length === 1) await explainer.server?.close();
        return { response: ExplainResponse.fromPartial({ predicted: 1 }) };
      };
    };
    expect(await explain({ image: sample(0) })).toMatchObject({ predicted: 1 });
    expect(gateway.pool.explainers.map(({ released }) => released)).toEqual([{ discard: true }, { discard: false }]);
  });

  test('waits for an explainer as long as the caller would', async () => {
    gateway.pool.refused.set('explainer', 'never');
    const request = { ...empty, model, image: sample(0) };
    const asking = gateway.application.explanations.explain(request, LOCAL, never, 20);
    expect(await failure(asking)).toMatchObject({ code: 4 });
  });

  test('asks another explainer when the first one dies under the request', async () => {
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = async () => {
        if (gateway.pool.explainers.length === 1) await explainer.die('was killed by SIGKILL');
        return { response: ExplainResponse.fromPartial({ predicted: 1 }) };
      };
    };
    expect(await explain({ image: sample(0) })).toMatchObject({ predicted: 1 });
    expect(gateway.pool.explainers).toHaveLength(2);
  });

  test('gives up when the caller does, while the explainer starts', async () => {
    gateway.pool.refused.set('explainer', 'never');
    const controller = new AbortController();
    const asking = failure(explain({ image: sample(0) }, controller.signal));
    await gateway.pool.changed.until(() => gateway.pool.asked.includes('explainer'));
    controller.abort(failedPrecondition('GAVE_UP', 'the caller gave up'));
    expect(await asking).toMatchObject({ reason: 'GAVE_UP' });
  });

  test('holds a bounded number of requests', async () => {
    gateway.pool.refused.set('explainer', 'never');
    const controller = new AbortController();
    const wait = (count: number, caller = LOCAL) =>
      Array.from({ length: count }, () => failure(explain({ image: sample(0) }, controller.signal, caller)));
    const other: Caller = { ...LOCAL, tenant: 'other' };
    const waiting = wait(48);
    expect(await failure(explain({ image: sample(0) }))).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    waiting.push(...wait(16, other));
    expect(await failure(explain({ image: sample(0) }, never, other))).toMatchObject({
      reason: 'TOO_MANY_EXPLANATIONS',
    });
    controller.abort(new DOMException('enough', 'AbortError'));
    await Promise.all(waiting);
  });

  const tensor: ImageInput = { source: { $case: 'tensor', value: { shape: [1], data: Buffer.alloc(4) } } };
  const bad: [string, Partial<ExplainRequest>, string][] = [
    ['an unknown method', { image: tensor, method: 'lime' }, 'method'],
    ['an unknown setting', { image: tensor, settings: { steps: '3' } }, 'settings.steps'],
    [
      'a setting out of range',
      { image: tensor, method: 'integrated-gradients', settings: { steps: '-1' } },
      'settings.steps',
    ],
    ['a missing image', {}, 'image'],
    ['an overlay that is too large', { image: tensor, overlayScale: 33 }, 'overlayScale'],
    ['a sample of a part that there is not', { image: sample(0, 'held-out') }, 'image.sample.part'],
    ['a sample beyond the end', { image: sample(20) }, 'image.sample.index'],
    ['a model name that is none', { image: tensor, model: 'lenet' }, 'model'],
    [
      'an image of more than 8 MiB',
      { image: { source: { $case: 'encoded', value: Buffer.alloc(8 * 1024 * 1024 + 1) } } },
      'image.encoded',
    ],
  ];
  for (const [what, request, field] of bad)
    test(`refuses ${what}`, async () => {
      const { violations } = await failure(explain(request));
      expect(violations.map((violation) => violation.field)).toEqual([field]);
      expect(gateway.pool.asked).toEqual([]);
    });
});
