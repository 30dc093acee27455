import { inspect } from 'node:util';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openArtefactStore } from '../artefact-place.ts';
import type { ArtefactStore } from '../artefacts.ts';
import { JsigrError } from '../errors.ts';
import { type S3Server, s3Program, s3Skipped, startS3 } from '../testing/s3-server.ts';
import { TcpProxy } from '../testing/tcp-proxy.ts';

const model = { 'manifest.json': Buffer.from('{}'), 'weights.safetensors': Buffer.from('abc') };
const large = { 'weights.bin': Buffer.alloc(30_000_000, 'jsigr ') };

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

describe.skipIf(!s3Program)(`an S3 server that does not do its part${s3Skipped}`, () => {
  let server: S3Server;
  let bucket: string;
  let proxy: TcpProxy;
  let through: string;
  const variables = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION', 'AWS_EC2_METADATA_DISABLED'];
  const before = variables.map((name) => [name, process.env[name]] as const);
  const signIn = (environment: Readonly<Record<string, string | undefined>>) => {
    for (const name of variables) delete process.env[name];
    // Nobody asks the network for credentials here.
    Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true' }, environment);
  };
  const open = (endpoint: string, name = bucket): Promise<ArtefactStore> =>
    openArtefactStore({ artefacts: `s3://${name}`, s3: { endpoint } });

  beforeAll(async () => {
    server = await startS3();
  });
  afterAll(async () => {
    await server?.close();
    signIn(Object.fromEntries(before.filter(([, value]) => value !== undefined)));
  });
  beforeEach(async () => {
    signIn(server.environment);
    bucket = await server.newBucket();
    proxy = new TcpProxy(server.port);
    through = await proxy.start();
  });
  afterEach(() => proxy.close());

  test.each<[string, string, status, () => Promise<ArtefactStore>]>([
    [
      'a bucket that is not there',
      'STORE_NOT_FOUND',
      status.FAILED_PRECONDITION,
      () => open(server.endpoint, 'no-such-bucket'),
    ],
    [
      'a wrong secret',
      'STORE_CREDENTIALS',
      status.FAILED_PRECONDITION,
      async () => {
        signIn({ ...server.environment, AWS_SECRET_ACCESS_KEY: 'a-wrong-secret' });
        return open(server.endpoint);
      },
    ],
    [
      'an account that there is not',
      'STORE_CREDENTIALS',
      status.FAILED_PRECONDITION,
      async () => {
        signIn({ ...server.environment, AWS_ACCESS_KEY_ID: 'nobody' });
        return open(server.endpoint);
      },
    ],
    [
      'an account that may do nothing',
      'STORE_NOT_WRITABLE',
      status.FAILED_PRECONDITION,
      async () => {
        signIn(await server.newUser());
        return open(server.endpoint);
      },
    ],
    [
      'a server that is not there',
      'STORE_UNAVAILABLE',
      status.UNAVAILABLE,
      async () => {
        await proxy.close();
        return open(through);
      },
    ],
    ['a name that there is not', 'STORE_UNAVAILABLE', status.UNAVAILABLE, () => open('http://s3.invalid:9000')],
    [
      'another region',
      'STORE_REGION',
      status.FAILED_PRECONDITION,
      async () => {
        signIn({ ...server.environment, AWS_REGION: 'eu-north-1' });
        return open(server.endpoint);
      },
    ],
  ])('%s is one clear error, without secrets, that says what to do', async (_, reason, code, opening) => {
    const store = await opening();
    const { AWS_SECRET_ACCESS_KEY: secret = '' } = process.env;
    for (const work of [
      () => store.put('models', model),
      () => store.get('models', '0'.repeat(64)),
      () => store.list('models'),
      () => store.sweep({ olderThanMs: 0 }),
    ]) {
      const error = await failureOf(work());
      expect(error).toMatchObject({ reason, code, hint: expect.stringMatching(/./) });
      expect(error.message).toContain('s3://');
      const everything = inspect(error, { depth: 10, showHidden: true });
      for (const word of [secret, 'AWS4-HMAC', 'Signature=', 'uthorization:']) expect(everything).not.toContain(word);
    }
    signIn(server.environment);
    expect(await (await open(server.endpoint)).list('models')).toEqual([]);
  });

  test.each([
    ['no credentials', { AWS_REGION: 'us-east-1' }, 'STORE_CREDENTIALS'],
    ['no region', { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }, 'STORE_REGION'],
  ])('where there are %s, that is said at once', async (_, environment, reason) => {
    signIn(environment);
    expect(await failureOf(open(server.endpoint))).toMatchObject({ reason, code: status.FAILED_PRECONDITION });
  });

  test('whoever may only read reads, and a put of theirs leaves nothing', async () => {
    const { digest } = await (await open(server.endpoint)).put('models', model);
    const reader = await server.newUser();
    const resource = `arn:aws:s3:::${bucket}`;
    const Statement = [
      { Effect: 'Allow', Principal: { AWS: [reader.AWS_ACCESS_KEY_ID] }, Action: 's3:ListBucket', Resource: resource },
      {
        Effect: 'Allow',
        Principal: { AWS: [reader.AWS_ACCESS_KEY_ID] },
        Action: 's3:GetObject',
        Resource: `${resource}/*`,
      },
    ];
    await server.client.send(
      new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement }) }),
    );
    signIn(reader);
    const store = await open(server.endpoint);
    expect(Buffer.from((await store.get('models', digest))['weights.safetensors'] ?? []).toString()).toBe('abc');
    expect(await failureOf(store.put('models', large))).toMatchObject({ reason: 'STORE_NOT_WRITABLE' });
    expect(await failureOf(store.put('models', { 'a.bin': Buffer.from('a') }))).toMatchObject({
      reason: 'STORE_NOT_WRITABLE',
    });
    expect(await failureOf(store.remove('models', digest))).toMatchObject({ reason: 'STORE_NOT_WRITABLE' });
    expect((await store.list('models')).map((each) => each.digest)).toEqual([digest]);
    signIn(server.environment);
    expect(await (await open(server.endpoint)).sweep({ olderThanMs: -2000 })).toEqual({ count: 0, bytes: 0 });
  });

  test('answers that are cut off are asked for again, and go on where they were', async () => {
    const { digest } = await (await open(server.endpoint)).put('models', large);
    const store = await open(through);
    proxy.down = 1_500_000;
    proxy.cuts = 3;
    expect((await store.get('models', digest))['weights.bin']?.length).toBe(30_000_000);
    expect(proxy.cuts).toBe(0);
    proxy.cuts = 3;
    const hashed = [];
    for await (const chunk of store.read('models', digest, 'weights.bin', 1_000_000)) hashed.push(chunk);
    expect(Buffer.concat(hashed).equals(large['weights.bin'].subarray(1_000_000))).toBe(true);
    expect(proxy.cuts).toBe(0);
  });

  test('where every answer is cut off that is said after a few attempts', async () => {
    const { digest } = await (await open(server.endpoint)).put('models', large);
    proxy.down = 1_000_000;
    const error = await failureOf((await open(through)).get('models', digest));
    expect(error).toMatchObject({ code: status.UNAVAILABLE, reason: 'STORE_UNAVAILABLE' });
  });

  test('a put whose server goes away leaves no artefact, only what is swept; the next one succeeds', async () => {
    const direct = await open(server.endpoint);
    const store = await open(through);
    await store.list('models');
    proxy.up = 5_000_000;
    proxy.onCut = () => proxy.vanish();
    expect(await failureOf(store.put('models', { ...large, 'manifest.json': Buffer.from('{}') }))).toMatchObject({
      code: status.UNAVAILABLE,
      reason: 'STORE_UNAVAILABLE',
    });
    expect(await direct.list('models')).toEqual([]);
    const found = await direct.sweep({ olderThanMs: -2000, dryRun: true });
    expect(found.count).toBeGreaterThan(0);
    expect(await direct.sweep({ olderThanMs: -2000 })).toEqual(found);
    expect(await direct.sweep({ olderThanMs: -2000 })).toEqual({ count: 0, bytes: 0 });
    const { digest } = await direct.put('models', large);
    expect(large['weights.bin'].equals((await direct.get('models', digest))['weights.bin'] ?? Buffer.alloc(0))).toBe(
      true,
    );
  });

  test('a reader goes on when the artefact that it reads is put again, and the earlier objects are removed', async () => {
    const store = await open(server.endpoint);
    const { digest } = await store.put('models', large);
    const reading = (await open(server.endpoint)).read('models', digest, 'weights.bin')[Symbol.asyncIterator]();
    const chunks = [(await reading.next()).value];
    await store.put('models', large);
    for (let next = await reading.next(); !next.done; next = await reading.next()) chunks.push(next.value);
    expect(Buffer.concat(chunks).equals(large['weights.bin'])).toBe(true);
  });
});

describe('a place of artefacts', () => {
  test.each([
    ['s3://', undefined, 'artefacts'],
    ['s3://Bucket', undefined, 'artefacts'],
    ['s3://bucket//x', undefined, 'artefacts'],
    ['s3://bucket/../x', undefined, 'artefacts'],
    [`s3://bucket/${'x'.repeat(201)}`, undefined, 'artefacts'],
    ['s3://key:secret@bucket', undefined, 'artefacts'],
    ['s3://bucket', { endpoint: 'https://key:secret@host' }, 's3.endpoint'],
    ['s3://bucket', { endpoint: 'host:9000' }, 's3.endpoint'],
    ['s3://bucket', { region: 'Frankfurt am Main' }, 's3.region'],
  ])('%s with %j is refused by name', async (artefacts, s3, field) => {
    expect((await failureOf(openArtefactStore({ artefacts, s3 }))).violations[0]?.field).toBe(field);
  });
});
