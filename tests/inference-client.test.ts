import { JsigrError } from '@jsigr/service';
import { AddressGuard, type InferenceOptions, openInference, parseEndpoint } from '@jsigr/service/inference';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type InferenceModel,
  type InferenceServer,
  startGrpcInference,
  startHttpInference,
} from './support/inference-server.ts';

const model: InferenceModel = { inputShape: [-1, 1, 2, 1], classes: 2, score: ([a = 0, b = 0]) => [a, 2 * b] };
const starts = {
  http: startHttpInference,
  grpc: startGrpcInference,
  'grpc with lists of numbers': (given: InferenceModel) => startGrpcInference(given, { raw: false }),
};

let server: InferenceServer | undefined;
afterEach(async () => {
  await server?.close();
});

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

const images = { input: 'images', output: 'scores', shape: [2, 1, 2, 1], data: Float32Array.of(0.25, 0.5, 0.75, 1) };

describe.each(Object.entries(starts))('a model over %s', (_, start) => {
  async function clientOf(change: Partial<InferenceModel> = {}, options: Partial<InferenceOptions> = {}) {
    server = await start({ ...model, ...change });
    const { url } = server;
    const settings = {
      url,
      requestsPerSecond: 1000,
      timeoutMs: 5000,
      networks: ['127.0.0.0/8'],
      retryMs: [1, 1, 1, 1],
      ...options,
    };
    return { client: openInference(settings), server };
  }

  it('says what it takes and gives, and gives scores', async () => {
    const { client } = await clientOf();
    expect(await client.metadata()).toMatchObject({
      inputs: [{ name: 'images', datatype: 'FP32', shape: [-1, 1, 2, 1] }],
      outputs: [{ name: 'scores', shape: [-1, 2] }],
    });
    const { shape, data } = await client.infer(images);
    expect([shape, [...data]]).toEqual([
      [2, 2],
      [0.25, 1, 0.75, 2],
    ]);
    client.close();
  });

  it('that is busy is asked again, and after five times given up', async () => {
    const { client, server: far } = await clientOf();
    far.busy = 2;
    expect((await client.infer(images)).shape).toEqual([2, 2]);
    expect(far.seen.requests).toBe(3);
    far.busy = 99;
    expect(await failureOf(client.infer(images))).toMatchObject({
      reason: 'ENDPOINT_UNAVAILABLE',
      message: expect.stringMatching(/^the endpoint \w+:\/\/127.*failed 5 times in a row; at last: .*busy/),
    });
    client.close();
  });

  it('that does not answer in time is one error', async () => {
    const { client, server: far } = await clientOf({}, { timeoutMs: 100 });
    far.silent = true;
    expect((await failureOf(client.infer(images))).message).toMatch(/at last: it did not answer within 0\.1 s$/);
    client.close();
  });

  it.each<[string, InferenceModel['distort'], RegExp]>([
    [
      'another number of numbers',
      ({ shape }) => ({ shape, data: [1], datatype: 'FP32' }),
      /the shape \[2,2\] and has 1 numbers$/,
    ],
    ['integers', ({ shape }) => ({ shape, data: [1, 2, 3, 4], datatype: 'INT32' }), /INT32/],
  ])('that gives %s is told so', async (_what, distort, message) => {
    const { client } = await clientOf(distort ? { distort } : {});
    expect(await failureOf(client.infer(images))).toMatchObject({
      reason: 'ENDPOINT_WRONG_ANSWER',
      message: expect.stringMatching(message),
    });
    client.close();
  });

  it('that is not there is named', async () => {
    const { server: far } = await clientOf();
    const url = far.url.replace('shapes', 'nobody');
    const client = openInference({ url, requestsPerSecond: 100, timeoutMs: 1000, networks: ['127.0.0.0/8'] });
    expect((await failureOf(client.metadata())).message).toMatch(
      /nobody: it answered with (HTTP status 404|NOT_FOUND)/,
    );
    client.close();
  });

  it('in a private network is not connected to unless it is allowed', async () => {
    const { client, server: far } = await clientOf({}, { networks: [] });
    expect(await failureOf(client.infer(images))).toMatchObject({
      reason: 'ENDPOINT_NOT_ALLOWED',
      message: expect.stringContaining('127.0.0.1 lies in a private network'),
      hint: expect.stringContaining('JSIGR_ENDPOINT_NETWORKS=127.0.0.1/32'),
    });
    expect(far.seen.requests).toBe(0);
    client.close();
  });

  it('is left at once by whoever aborts', async () => {
    const { client, server: far } = await clientOf();
    far.silent = true;
    const controller = new AbortController();
    const work = client.infer(images, controller.signal);
    controller.abort();
    expect((await failureOf(work)).reason).toBe('CANCELLED');
    client.close();
  });
});

describe('a model over HTTP', () => {
  const open = async (change: Partial<InferenceModel> = {}) => {
    server = await startHttpInference({ ...model, ...change });
    const { url } = server;
    const patience = { requestsPerSecond: 1000, timeoutMs: 5000, retryMs: [1, 1, 1, 1] };
    return { client: openInference({ url, ...patience, networks: ['127.0.0.0/8'] }), far: server };
  };

  it('whose connection breaks in the middle of an answer is asked again', async () => {
    const { client, far } = await open();
    far.cut = 2;
    expect((await client.infer(images)).shape).toEqual([2, 2]);
    far.cut = 99;
    expect(await failureOf(client.infer(images))).toMatchObject({
      reason: 'ENDPOINT_UNAVAILABLE',
      message: expect.stringMatching(/at last: the connection broke in the middle of its answer$/),
    });
  });

  it('that nests its numbers without end is told so', async () => {
    const text = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const distort: InferenceModel['distort'] = (answer) => ({ ...answer, text });
    const { client } = await open({ distort });
    expect(await failureOf(client.infer(images))).toMatchObject({ reason: 'ENDPOINT_WRONG_ANSWER' });
  });

  it('is quoted in one line, of characters that can be shown and kept', async () => {
    const name = `a\0b\u001b[31m\u202e\n${'x'.repeat(1000)}`;
    const { client } = await open({ distort: (answer) => ({ ...answer, datatype: name }) });
    const { message } = await failureOf(client.infer(images));
    expect(message).toMatch(/its 'scores' is a b \[31m x+$/);
    expect(message.length).toBeLessThan(600);
  });
});

describe('addresses', () => {
  it.each([
    ['http://a.example/v2/models/m', { protocol: 'http', port: 80, prefix: '', model: 'm', version: '' }],
    [
      'https://a.example:8443/x/v2/models/m%20n/versions/3',
      { isSecure: true, port: 8443, prefix: '/x', model: 'm n', version: '3' },
    ],
    ['grpc://a.example:8001/m', { protocol: 'grpc', isSecure: false, port: 8001, model: 'm' }],
    ['grpcs://[2001:db8::1]:8001/m/2', { isSecure: true, host: '2001:db8::1', version: '2' }],
  ])('%s', (text, parts) => expect(parseEndpoint(text)).toMatchObject(parts));

  it.each([
    '',
    'a.example/v2/models/m',
    'ftp://a.example/m',
    'http://a.example/models/m',
    'grpc://a.example/m',
    'http://u:p@a.example/v2/models/m',
    'http://a.example/v2/models/%zz',
    'grpc://a.example:8001/m/%ff',
  ])('%s is refused', (text) => expect(() => parseEndpoint(text)).toThrow(/^endpoint\.url: /));
});

describe('the guard', () => {
  const inside = [
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '192.168.0.1',
    '172.31.0.1',
    '100.64.1.1',
    '0.0.0.0',
    '224.0.0.1',
  ];
  const inside6 = [
    '::1',
    '::',
    'fd00::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::1',
  ];
  it.each([...inside, ...inside6, 'localhost'])('lets nobody through to %s', async (host) => {
    await expect(new AddressGuard([]).resolve(host)).rejects.toMatchObject({ reason: 'ENDPOINT_NOT_ALLOWED' });
  });

  it.each(['8.8.8.8', '172.32.0.1', '2606:4700::1111'])('lets everybody through to %s', async (host) => {
    expect(await new AddressGuard([]).resolve(host)).toBe(host);
  });

  it('lets through to what is allowed, and to nothing beside it', async () => {
    const guard = new AddressGuard(['10.1.0.0/16']);
    expect(await guard.resolve('10.1.255.1')).toBe('10.1.255.1');
    await expect(guard.resolve('10.2.0.1')).rejects.toThrow(/private network/);
  });

  it.each(['10.0.0.0', '10.0.0.0/33', 'all', '::1/129'])('%s is no network', (network) => {
    expect(() => new AddressGuard([network])).toThrow(/is not a network such as 127\.0\.0\.0\/8/);
  });
});

it('requests keep their distance', async () => {
  server = await startHttpInference(model);
  const { url } = server;
  const client = openInference({ url, requestsPerSecond: 50, timeoutMs: 5000, networks: ['127.0.0.0/8'] });
  const began = performance.now();
  for (let i = 0; i < 6; i++) await client.infer(images);
  expect(performance.now() - began).toBeGreaterThanOrEqual(5 * 20 - 5);
});
