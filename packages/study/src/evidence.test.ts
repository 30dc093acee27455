import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeEvidence } from './evidence.ts';
import { madeUp, profile } from './testing.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-evidence-'));
  await mkdir(join(folder, 'made-up'));
  const [source] = madeUp();
  const others = [{ ...source, spec: { ...source?.spec, label: 'source' } }];
  for (const [i, record] of [...madeUp(), ...others].entries())
    await writeFile(join(folder, 'made-up', `${i}.json`), JSON.stringify(record));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('the evidence of all studies has every claim with its ruling, and names what was not studied', async () => {
  const path = await writeEvidence(folder, [profile, { ...profile, name: 'other' }]);
  const page = await readFile(path, 'utf8');
  expect(page).toContain('| claim | made-up, 8 of 8 models, seeds 1, 2 |');
  expect(page).toContain(
    '| Better robustness against transferred adversarial examples than adversarial training | does not hold |',
  );
  expect(page).toContain('| Without the cost of adversarial training | holds |');
  expect(page).toContain('Without raw results here: other.');
  // Sources are no models of the study.
  expect(page).toContain('[The study](made-up.md), 8 of 8 models, seeds 1, 2.');
  expect(page).toContain('| an epoch takes at most 0.6 times one of PGD-AT-7 | holds | lenet: 0.50, 0.50 | - |');
});

test('a file that is no record is named', async () => {
  await mkdir(join(folder, 'broken'));
  await writeFile(join(folder, 'broken', 'x.json'), '{');
  await expect(writeEvidence(folder, [{ ...profile, name: 'broken' }])).rejects.toThrow(
    `${join(folder, 'broken', 'x.json')} is no record of a study`,
  );
});
