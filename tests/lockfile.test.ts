import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

interface Entry {
  readonly link?: boolean;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const lockfile = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')) as {
  readonly packages: Readonly<Record<string, Entry>>;
};
const installed = Object.entries(lockfile.packages).filter(
  ([place, { link }]) => place.includes('node_modules/') && !link,
);

/** Entries that something else than a registry's checked tarball would be installed for. */
function unchecked(entries: readonly (readonly [string, Entry])[]): string[] {
  return entries
    .filter(([, { integrity, resolved }]) => {
      const isTarball = resolved === undefined || /^https:\/\/[^/]+\/.+\.tgz$/.test(resolved);
      return !/^sha512-[\w+/]{86}==$/.test(integrity ?? '') || !isTarball;
    })
    .map(([place]) => place);
}

test('every package of the lockfile is a tarball of a registry with a SHA-512 digest', () => {
  expect(installed.length).toBeGreaterThan(100);
  expect(unchecked(installed)).toEqual([]);
});

test('what is not, is found', () => {
  const integrity = `sha512-${'a'.repeat(86)}==`;
  const bad: [string, Entry][] = [
    ['node_modules/a', {}],
    ['node_modules/b', { integrity: 'sha1-abc' }],
    ['node_modules/c', { integrity, resolved: 'git+ssh://git@example.com/c.git#main' }],
    ['node_modules/d', { integrity, resolved: 'http://example.com/d.tgz' }],
    ['node_modules/e', { integrity, resolved: 'file:../e' }],
  ];
  expect(unchecked(bad)).toHaveLength(bad.length);
  expect(unchecked([['node_modules/f', { integrity }]])).toEqual([]);
});

test('links lead to workspaces only', () => {
  const links = Object.values(lockfile.packages).filter(({ link }) => link);
  expect(links.length).toBeGreaterThan(5);
  for (const { resolved = '' } of links) expect(Object.keys(lockfile.packages)).toContain(resolved);
});

test('the bill of materials names every package that is installed with an installation, and its licence', () => {
  const bill = JSON.parse(
    execFileSync('npm', ['run', '--silent', 'sbom'], { cwd: root, maxBuffer: 64 * 1024 * 1024 }).toString(),
  );
  expect(bill).toMatchObject({ bomFormat: 'CycloneDX' });
  const components = bill.components as { purl: string; name: string; licenses?: unknown[]; hashes?: unknown[] }[];
  const names = components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['@grpc/grpc-js', 'onnxruntime-node', 'kysely', '@opentelemetry/api']));
  const foreign = components.filter(({ purl }) => !purl.startsWith('pkg:npm/%40jsigr/'));
  expect(foreign.filter(({ licenses }) => !licenses?.length).map(({ name }) => name)).toEqual([]);
});
