import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configDocument, readConfig, settings, shownConfig } from './config.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(content: string): Promise<string> {
  const path = join(folder, 'jsigr.yaml');
  await writeFile(path, content);
  return path;
}
const violations = async (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have been refused'),
    (error) => JsigrError.from(error).violations.map(({ field }) => field),
  );

describe('settings', () => {
  test('come from a file, and the environment counts more', async () => {
    const path = await file(`
host: 0.0.0.0
httpPort: none
tls: { certificate: /tls/tls.crt, key: /tls/tls.key }
access:
  oidc: { issuer: https://login.example, audience: jsigr, roles: { "team.a": runner } }
limits: { requestsPerSecond: 5 }
`);
    const environment = {
      JSIGR_CONFIG: path,
      JSIGR_HOST: '127.0.0.1',
      JSIGR_LIMITS_BURST: '7',
      JSIGR_THREADS: '',
      PATH: '/',
    };
    expect(await readConfig({ environment })).toEqual({
      host: '127.0.0.1',
      httpPort: null,
      tls: { certificate: '/tls/tls.crt', key: '/tls/tls.key' },
      access: { oidc: { issuer: 'https://login.example', audience: 'jsigr', roles: { 'team.a': 'runner' } } },
      limits: { requestsPerSecond: 5, burst: 7 },
    });
  });

  test('an issuer whose keys anybody on the way could change is refused', async () => {
    const issuedBy = (issuer: string) =>
      readConfig({ environment: { JSIGR_OIDC_ISSUER: issuer, JSIGR_OIDC_AUDIENCE: 'jsigr' } });
    await expect(issuedBy('http://login.example')).rejects.toThrow(/JSIGR_OIDC_ISSUER: .*https/);
    for (const issuer of ['https://login.example', 'http://127.0.0.1:8080', 'http://[::1]:8080'])
      expect((await issuedBy(issuer)).access?.oidc?.issuer).toBe(issuer);
  });

  test('of S3 are words in the environment', async () => {
    const environment = {
      JSIGR_ARTEFACTS: 's3://models/jsigr',
      JSIGR_S3_REGION: 'eu-central-1',
      JSIGR_S3_PATH_STYLE: 'false',
    };
    const options = { artefacts: 's3://models/jsigr', s3: { region: 'eu-central-1', pathStyle: false } };
    expect(await readConfig({ environment })).toEqual(options);
    expect(shownConfig(options)).toEqual(options);
  });

  test('of the command count before those of the environment and the file, and are checked like them', async () => {
    const environment = { JSIGR_LEASE_SECONDS: '30', JSIGR_RETRIES: '5' };
    const given = { leaseSeconds: '10', 'limits.activeRuns': '4', operator: 'true' };
    const found = await readConfig({ environment, file: await file('limits: { activeRuns: 9, watches: 7 }'), given });
    expect(found).toEqual({ leaseSeconds: 10, retries: 5, limits: { activeRuns: 4, watches: 7 }, operator: true });
    const wrong = { leaseSeconds: 'soon', lease: '10' };
    expect(await violations(readConfig({ environment, given: wrong }))).toEqual(['lease', 'leaseSeconds']);
  });

  test('a map is JSON in the environment', async () => {
    const environment = { JSIGR_KUBERNETES_ROLES: '{"system:serviceaccounts:vision": "runner"}' };
    expect(await readConfig({ environment })).toEqual({
      access: { kubernetes: { roles: { 'system:serviceaccounts:vision': 'runner' } } },
    });
  });

  test.each<[string, string, Record<string, string>, string[]]>([
    ['not known', 'hosts: x\ntls: { cert: y }', {}, ['hosts', 'tls.cert']],
    ['out of range', 'grpcPort: 70000\nlimits: { burst: 0 }', {}, ['grpcPort', 'limits.burst']],
    [
      'wrong in the environment',
      '',
      { JSIGR_DEVICE: 'tpu', JSIGR_OIDC_ROLES: '{"a":' },
      ['JSIGR_DEVICE', 'JSIGR_OIDC_ROLES'],
    ],
    [
      'incomplete',
      'access: { oidc: { audience: a }, kubernetes: { audience: b } }',
      {},
      ['access.oidc.issuer', 'access.kubernetes.roles'],
    ],
    [
      'no roles',
      'access: { kubernetes: { roles: { a: god } } }',
      {},
      ['access.kubernetes.roles', 'access.kubernetes.roles'],
    ],
    [
      'no place of artefacts',
      'artefacts: s3://B/x\ns3: { region: Here, endpoint: "https://key:secret@host", pathStyle: 7 }',
      {},
      ['artefacts', 's3.region', 's3.endpoint', 's3.pathStyle'],
    ],
    [
      'out of their range',
      'silenceSeconds: 0.5\naccess: { failedSignInsPerMinute: 0 }',
      { JSIGR_STATE_SECONDS: '-1' },
      ['JSIGR_STATE_SECONDS', 'silenceSeconds', 'access.failedSignInsPerMinute'],
    ],
    ['of S3 without a bucket', '', { JSIGR_S3_REGION: 'eu-central-1' }, ['artefacts']],
    ['a file with aliases that multiply', 'a: &a [1]\nb: [*a, *a]', {}, ['config']],
    ['no YAML', 'host: [', {}, ['config']],
    ['of a file that is not there', '', { JSIGR_CONFIG: '/nowhere.yaml' }, ['config']],
  ])('that are %s are refused by name', async (_, content, environment, fields) => {
    const path = content === '' ? environment.JSIGR_CONFIG : await file(content);
    const found = await violations(readConfig({ environment, ...(path ? { file: path } : {}) }));
    expect([...new Set(found)]).toEqual([...new Set(fields)]);
  });

  test('are shown without secrets', () => {
    const shown = shownConfig({ databaseUrl: 'postgres://me:secret@host/db', tls: { ca: '/ca' }, httpPort: null });
    expect(shown).toEqual({ databaseUrl: '(secret)', tls: { ca: '/ca' }, httpPort: null });
  });

  test('have a variable each, and stand in docs/configuration.md', async () => {
    expect(new Set(settings.map(({ variable }) => variable)).size).toBe(settings.length);
    await expect(configDocument()).toMatchFileSnapshot('../../docs/configuration.md');
  });
});
