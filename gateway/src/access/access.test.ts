import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, unauthenticated } from '@jsigr/service';
import { expect, test } from 'vitest';
import { WorkerCredentials } from '../workers/credentials.ts';
import { Access, type Authenticator } from './access.ts';
import type { Caller } from './caller.ts';
import { TenantLimits } from './limits.ts';
import { ownerToken } from './sign-in.ts';
import { Strangers } from './strangers.ts';
import { TokenFile } from './tokens.ts';

const ADDRESS = '192.0.2.1';
const PER_MINUTE = 6;

/** An issuer that is asked about tokens, and answers when it is told to; tokens that begin with `good` are. */
function slowIssuer() {
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const verify = (token: string) =>
    new Promise<Caller>((resolve, reject) => {
      asked.push(token);
      answers.push(() =>
        token.startsWith('good')
          ? resolve({ subject: token, role: 'viewer', tenant: 'default' })
          : reject(unauthenticated('TOKEN_UNKNOWN', 'nobody knows it')),
      );
    });
  return {
    asked,
    authenticator: { name: 'slow', isActive: async () => true, verify },
    answer: () => {
      for (const each of answers.splice(0)) each();
    },
  };
}

function accessBy(...authenticators: readonly Authenticator[]): Access {
  return new Access({
    authenticators,
    workers: new WorkerCredentials(Buffer.alloc(32)),
    limits: new TenantLimits({}),
    strangers: new Strangers(PER_MINUTE, () => 0),
    logger: createLogger('test', 'silent'),
  });
}
/** Until all that can be done without the issuer's answer has been done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('of many wrong tokens at once no more are looked up than may fail', async () => {
  const { asked, authenticator, answer } = slowIssuer();
  const access = accessBy(authenticator);
  const call = (token: string) =>
    access.authenticate(`Bearer ${token}`, ADDRESS).then(
      (caller) => caller?.subject,
      ({ reason }) => reason,
    );
  const calls = Array.from({ length: 50 }, (_, i) => call(`wrong-${i}`));
  await settled();
  expect(asked).toHaveLength(PER_MINUTE);
  answer();
  const reasons = await Promise.all(calls);
  expect(reasons.filter((reason) => reason === 'TOKEN_UNKNOWN')).toHaveLength(PER_MINUTE);
  expect(reasons.filter((reason) => reason === 'RATE_LIMITED')).toHaveLength(50 - PER_MINUTE);
  expect(await call('wrong-again')).toBe('RATE_LIMITED');
});

test('a token that many calls show at once is looked up once, and lets all of them in', async () => {
  const { asked, authenticator, answer } = slowIssuer();
  const access = accessBy(authenticator);
  const call = () => access.authenticate('Bearer good', ADDRESS);
  const calls = Array.from({ length: 50 }, call);
  await settled();
  expect(asked).toEqual(['good']);
  answer();
  expect((await Promise.all(calls)).every((caller) => caller?.subject === 'good')).toBe(true);
  // From now on each call asks for itself: a token that is revoked is noticed at once.
  const known = [call(), call()];
  await settled();
  expect(asked).toHaveLength(3);
  answer();
  await Promise.all(known);
});

test('a file of tokens that makes no sense keeps everybody out but the owner of the data directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'jsigr-access-'));
  await writeFile(join(folder, 'tokens.json'), '{');
  const access = accessBy(ownerToken('owner.secret'), new TokenFile(join(folder, 'tokens.json')));
  expect(await access.authenticate('Bearer owner.secret', ADDRESS)).toMatchObject({ subject: 'owner' });
  for (const authorization of [undefined, 'Bearer jsigr_01234567_other'])
    await expect(access.authenticate(authorization, ADDRESS)).rejects.toMatchObject({ reason: 'TOKENS_UNUSABLE' });
  await rm(folder, { recursive: true });
});
