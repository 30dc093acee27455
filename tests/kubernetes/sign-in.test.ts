import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kubernetes, type KubernetesOptions } from '../../gateway/src/access/kubernetes.ts';
import { ControlPlane, skipped } from './support/control-plane.ts';
import { install, NAMESPACE } from './support/installation.ts';

describe.skipIf(skipped('api'))('signing in with tokens of the cluster, at a real API server', () => {
  let plane: ControlPlane;
  let access: Pick<KubernetesOptions, 'server' | 'caFile' | 'tokenFile'>;
  let kubernetes: Kubernetes;
  beforeAll(async () => {
    plane = await ControlPlane.start('api');
    await install(plane);
    const tokenFile = join(plane.folder, 'token-of-the-gateway');
    writeFileSync(tokenFile, await plane.kubectl(['create', 'token', 'jsigr-gateway', '-n', NAMESPACE]));
    access = { server: plane.server, caFile: join(plane.folder, 'apiserver.crt'), tokenFile };
    kubernetes = new Kubernetes({
      ...access,
      roles: { 'system:serviceaccounts:vision': 'runner', 'system:serviceaccount:vision:boss': 'admin' },
    });
    for (const namespace of ['vision', 'elsewhere']) await plane.kubectl(['create', 'namespace', namespace]);
    for (const [namespace, name] of [
      ['vision', 'notebook'],
      ['vision', 'boss'],
      ['elsewhere', 'notebook'],
    ] as const)
      await plane.kubectl(['create', 'serviceaccount', name, '-n', namespace]);
  }, 120_000);
  afterAll(() => plane?.stop());

  const tokenOf = async (namespace: string, name: string, audience = 'jsigr') =>
    (await plane.kubectl(['create', 'token', name, '-n', namespace, '--audience', audience])).trim();

  test('a service account has the role of its group, and its namespace as tenant', async () => {
    expect(await kubernetes.verify(await tokenOf('vision', 'notebook'))).toEqual({
      ...{ subject: 'kubernetes/system:serviceaccount:vision:notebook', role: 'runner', tenant: 'vision' },
    });
    expect(await kubernetes.verify(await tokenOf('vision', 'boss'))).toMatchObject({ role: 'admin', tenant: 'vision' });
  });

  test('tokens for others, made up, or of somebody without a role let nobody in', async () => {
    expect(await kubernetes.verify(await tokenOf('vision', 'notebook', 'somebody-else'))).toBeUndefined();
    expect(await kubernetes.verify('a.b.c')).toBeUndefined();
    await expect(kubernetes.verify(await tokenOf('elsewhere', 'notebook'))).rejects.toMatchObject({
      reason: 'NO_ROLE',
    });
  });

  test('a token is worth nothing once its service account is gone, and what was known of it has run out', async () => {
    let now = 0;
    const later = new Kubernetes({ ...access, roles: { 'system:authenticated': 'viewer' } }, () => now);
    const token = await tokenOf('vision', 'notebook');
    expect(await later.verify(token)).toMatchObject({ role: 'viewer' });
    await plane.kubectl(['delete', 'serviceaccount', 'notebook', '-n', 'vision']);
    const again = () => {
      now += 61_000;
      return later.verify(token);
    };
    await expect.poll(again, { timeout: 30_000 }).toBeUndefined();
  });
});
