import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type CryptoKey, exportJWK, type GenerateKeyPairResult, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Oidc } from './oidc.ts';

// An issuer of our own on this machine: discovery and keys as a real one publishes them.
let server: Server;
let issuer: string;
let asked: string[];
let keys: GenerateKeyPairResult;
let others: GenerateKeyPairResult;
beforeAll(async () => {
  asked = [];
  [keys, others] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const answers: Record<string, unknown> = {
      '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/keys` },
      '/keys': { keys: [jwk] },
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answers[request.url ?? ''] ?? {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuer = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => server.close());

interface Making {
  readonly claims?: JWTPayload;
  readonly key?: CryptoKey | Uint8Array;
  readonly alg?: string;
  readonly expires?: string | number;
  readonly from?: string;
  readonly audience?: string;
}

function token({
  claims,
  key = keys.privateKey,
  alg = 'ES256',
  expires = '5m',
  from = issuer,
  audience = 'jsigr',
}: Making = {}) {
  return new SignJWT({ jsigr_role: 'runner', jsigr_tenant: 'vision', ...claims })
    .setProtectedHeader({ alg, kid: 'k1' })
    .setSubject('alice')
    .setIssuer(from)
    .setAudience(audience)
    .setExpirationTime(expires)
    .sign(key);
}

describe('OpenID Connect tokens', () => {
  test('are verified with the keys of their issuer, which are asked for once', async () => {
    const oidc = new Oidc({ issuer, audience: 'jsigr' });
    const caller = { subject: 'oidc/alice', role: 'runner', tenant: 'vision' };
    expect(await oidc.verify(await token())).toEqual(caller);
    expect(await oidc.verify(await token())).toEqual(caller);
    expect(asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  test('have roles by the names that the settings give them; the highest counts', async () => {
    const roles = { 'ml-engineers': 'runner', staff: 'viewer' } as const;
    const oidc = new Oidc({ issuer, audience: 'jsigr', roleClaim: 'groups', roles, tenantClaim: 'team' });
    const claims = { groups: ['staff', 'ml-engineers'], team: 'faces' };
    expect(await oidc.verify(await token({ claims }))).toMatchObject({ role: 'runner', tenant: 'faces' });
    await expect(oidc.verify(await token({ claims: { ...claims, groups: ['admin'] } }))).rejects.toMatchObject({
      reason: 'NO_ROLE',
    });
  });

  const refused: [string, () => Promise<string>, string][] = [
    ['that expired', () => token({ expires: Math.floor(Date.now() / 1000) - 60 }), 'TOKEN_EXPIRED'],
    ['for somebody else', () => token({ audience: 'another' }), 'TOKEN_INVALID'],
    ['signed by another key', () => token({ key: others.privateKey }), 'TOKEN_INVALID'],
    ['signed by a shared secret', () => token({ alg: 'HS256', key: new Uint8Array(32) }), 'TOKEN_INVALID'],
    ['without a role', () => token({ claims: { jsigr_role: undefined } }), 'NO_ROLE'],
    ['whose tenant is no name', () => token({ claims: { jsigr_tenant: 'shared' } }), 'NO_TENANT'],
    [
      'not signed at all',
      async () => `${unsigned({ iss: issuer, sub: 'alice', aud: 'jsigr', exp: 9e9 })}.`,
      'TOKEN_INVALID',
    ],
  ];
  for (const [what, make, reason] of refused)
    test(`${what} are refused`, async () => {
      await expect(new Oidc({ issuer, audience: 'jsigr' }).verify(await make())).rejects.toMatchObject({ reason });
    });

  test('of another issuer, and what is no token, are left to others', async () => {
    const oidc = new Oidc({ issuer, audience: 'jsigr' });
    expect(await oidc.verify(await token({ from: 'https://elsewhere.example' }))).toBeUndefined();
    expect(await oidc.verify('jsigr_1234')).toBeUndefined();
  });

  test('of an issuer whose keys come by plain http from elsewhere are not believed', async () => {
    const liar = createServer((_, response) => {
      const { port } = liar.address() as { port: number };
      response.end(JSON.stringify({ issuer: `http://127.0.0.1:${port}`, jwks_uri: 'http://keys.example/keys' }));
    });
    await once(liar.listen(0, '127.0.0.1'), 'listening');
    const from = `http://127.0.0.1:${(liar.address() as { port: number }).port}`;
    const signed = await token({ from });
    await expect(new Oidc({ issuer: from, audience: 'jsigr' }).verify(signed)).rejects.toThrow(/https/);
    liar.close();
  });

  test('of an issuer that does not answer are UNAVAILABLE, and asked about again', async () => {
    const away = 'http://127.0.0.1:9';
    const oidc = new Oidc({ issuer: away, audience: 'jsigr' });
    for (let i = 0; i < 2; i++)
      await expect(oidc.verify(await token({ from: away }))).rejects.toMatchObject({ reason: 'ISSUER_UNREACHABLE' });
  });
});

function unsigned(claims: object): string {
  return [{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
}
