import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { LIVE } from '../packages/service/src/grpc-strategy.ts';

interface Probe {
  readonly grpc: { readonly port: number; readonly service?: string };
}
interface Manifest {
  readonly kind: string;
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly Record<string, Probe>[] } } };
}

function gatewayIn(path: string): Record<string, Probe> | undefined {
  const text = readFileSync(new URL(`../k8s/${path}/gateway.yaml`, import.meta.url), 'utf8');
  const objects = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
  return objects.find(({ kind }) => kind === 'Deployment')?.spec.template.spec.containers[0];
}

test.each([
  ['base', 7460],
  ['components/tls', 7480],
])('%s: a gateway whose database is away gets no calls, and is not killed', (path, port) => {
  const { startupProbe, readinessProbe, livenessProbe } = gatewayIn(path) ?? {};
  expect(readinessProbe?.grpc).toEqual({ port });
  expect(startupProbe?.grpc).toEqual({ port, service: LIVE });
  expect(livenessProbe?.grpc).toEqual({ port, service: LIVE });
});
