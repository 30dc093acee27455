import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exportAdversarial } from './adversarial.ts';
import { madeUpAdversarial } from './testing/adversarial.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jsigr-export-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function pathsOf(settings: readonly Record<string, string>[]): Promise<string[]> {
  const all = madeUpAdversarial()
    .slice(0, 1)
    .flatMap((one) => settings.map((each) => ({ ...one, settings: each })));
  const names = { evaluation: 'evaluations/e1', model: 'models/aa' };
  await exportAdversarial(folder, { file: Buffer.of(), input: [2, 2, 1], all }, names);
  const { entries } = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
  return entries.map(({ path }: { path: string }) => path);
}

const files = () =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => path.endsWith('.png'));

it('attacks that differ by their settings alone have a folder each', async () => {
  const paths = await pathsOf([{ recipe: 'ni+si' }, { recipe: 'mi+bsr', steps: '20' }, {}]);
  expect(paths.map((path) => path.split('/')[0])).toEqual([
    'pgd-linf-0.1-ni+si',
    'pgd-linf-0.1-mi+bsr,steps=20',
    'pgd-linf-0.1',
  ]);
  expect(files().sort()).toEqual(paths.sort());
});

it('several images of a sample that is seen as the same class are several files', async () => {
  const paths = await pathsOf([{}, {}, {}]);
  expect(paths.map((path) => path.split('/')[1])).toEqual([
    '00003-is-1-seen-as-0.png',
    '00003-is-1-seen-as-0-2.png',
    '00003-is-1-seen-as-0-3.png',
  ]);
  expect(files()).toHaveLength(3);
});

it('a setting that looks like a path stays in its folder', async () => {
  const [path] = await pathsOf([{ recipe: '../../etc' }]);
  expect(path).toBe('pgd-linf-0.1-.._.._etc/00003-is-1-seen-as-0.png');
});
