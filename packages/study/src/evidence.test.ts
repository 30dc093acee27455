import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeEvidence } from './evidence.ts';
import type { Profile, StudyObjective } from './profile.ts';
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
  expect(page).toContain(
    '| an epoch takes at most 0.6 times one of PGD-AT-7 | holds | lenet: 0.50, 0.50 (by the fastest epochs 0.50, 0.50) | - |',
  );
});

test('records that are not finished, or of a recipe that the study does not have any more, do not count', async () => {
  const [one, two, ...rest] = madeUp();
  const kept = [
    { ...one, training: { ...one?.training, value: { ...one?.training?.value, ended: '' } } },
    { ...two, spec: { ...two?.spec, settings: { weight: 2 } } },
    ...rest,
  ];
  await mkdir(join(folder, 'stale'));
  for (const [i, record] of kept.entries()) await writeFile(join(folder, 'stale', `${i}.json`), JSON.stringify(record));
  const stale = { ...profile, name: 'stale' };
  const pageOf = async (study: Profile) => readFile(await writeEvidence(folder, [study]), 'utf8');
  expect(await pageOf(stale)).toContain('stale, 6 of 8 models');
  expect(await pageOf({ ...stale, epochs: 2 })).toContain('Without raw results here: stale.');
  const [standard, jacobian, ...others] = profile.objectives as [StudyObjective, StudyObjective];
  const noisy: StudyObjective = { ...jacobian, recipes: [{ settings: {}, noise: 0.1 }] };
  expect(await pageOf({ ...stale, objectives: [standard, noisy, ...others] })).toContain('stale, 4 of 8 models');
});

test('a file that is no record is named', async () => {
  await mkdir(join(folder, 'broken'));
  await writeFile(join(folder, 'broken', 'x.json'), '{');
  await expect(writeEvidence(folder, [{ ...profile, name: 'broken' }])).rejects.toThrow(
    `${join(folder, 'broken', 'x.json')} is no record of a study`,
  );
});
