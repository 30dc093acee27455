import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { authority } from '@jsigr/service/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Kubernetes } from './kubernetes.ts';

// The far side: an HTTPS server that answers TokenReviews as an API server does.
let folder: string;
let server: Server;
let url: string;
let reviews: { token: string; audiences: string[]; authorization: string | undefined }[];
let answer: (token: string) => { status: number; body: unknown };
const files = () => ({ caFile: join(folder, 'ca.crt'), tokenFile: join(folder, 'token') });

const known: Record<string, { username: string; groups: string[] }> = {
  vision: { username: 'system:serviceaccount:vision:trainer', groups: ['system:serviceaccounts:vision'] },
  alice: { username: 'alice', groups: ['ml', 'system:authenticated'] },
  nobody: { username: 'mallory', groups: [] },
};
const usual = (token: string) => ({
  status: 201,
  body: { status: known[token] ? { authenticated: true, audiences: ['jsigr'], user: known[token] } : {} },
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-review-'));
  const { certificate, key } = authority(folder).issue('server');
  authority(join(folder, 'other'));
  await writeFile(join(folder, 'token'), 'the-gateways-own\n');
  server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, async (request, response) => {
    const { spec } = JSON.parse(await text(request));
    reviews.push({ ...spec, authorization: request.headers.authorization });
    const { status, body } = answer(spec.token);
    response.writeHead(request.url === '/apis/authentication.k8s.io/v1/tokenreviews' ? status : 404);
    response.end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `https://127.0.0.1:${(server.address() as { port: number }).port}`;
});
beforeEach(() => {
  reviews = [];
  answer = usual;
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

const roles = { 'system:serviceaccounts:vision': 'runner', ml: 'viewer', alice: 'admin' } as const;
const make = (now?: () => number) => new Kubernetes({ server: url, roles, ...files() }, now);

describe('tokens of a cluster', () => {
  test('are reviewed by its API server: a service account is of its namespace, a user has the highest of their roles', async () => {
    const kubernetes = make();
    expect(await kubernetes.verify('vision')).toEqual({
      subject: 'kubernetes/system:serviceaccount:vision:trainer',
      role: 'runner',
      tenant: 'vision',
    });
    expect(await kubernetes.verify('alice')).toMatchObject({ role: 'admin', tenant: 'default' });
    expect(reviews[0]).toEqual({ token: 'vision', audiences: ['jsigr'], authorization: 'Bearer the-gateways-own' });
  });

  test('are not asked about again within a minute, refused ones not within ten seconds', async () => {
    let now = 0;
    const kubernetes = make(() => now);
    for (const at of [0, 59_999, 60_001]) {
      now = at;
      await kubernetes.verify('alice');
    }
    expect(reviews).toHaveLength(2);
    for (const at of [60_001, 70_000, 70_002]) {
      now = at;
      expect(await kubernetes.verify('made-up')).toBeUndefined();
    }
    expect(reviews).toHaveLength(4);
  });

  test('made out for another audience are not taken', async () => {
    answer = () => ({
      status: 201,
      body: { status: { authenticated: true, audiences: ['vault'], user: known.alice } },
    });
    expect(await make().verify('alice')).toBeUndefined();
  });

  test('without a role are refused', async () => {
    await expect(make().verify('nobody')).rejects.toMatchObject({ reason: 'NO_ROLE' });
  });

  const troubles: [string, () => Kubernetes][] = [
    ['forbids reviews', () => make()],
    [
      'is not the one of this certificate authority',
      () => new Kubernetes({ server: url, roles, ...files(), caFile: join(folder, 'other', 'ca.crt') }),
    ],
    ['is away', () => new Kubernetes({ server: 'https://127.0.0.1:9', roles, ...files() })],
  ];
  for (const [what, kubernetes] of troubles)
    test(`an API server that ${what} makes it UNAVAILABLE`, async () => {
      answer = () => ({ status: 403, body: {} });
      await expect(kubernetes().verify('alice')).rejects.toMatchObject({ reason: 'TOKEN_REVIEW_FAILED' });
    });
});
