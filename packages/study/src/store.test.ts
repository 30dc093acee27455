import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { glyphs } from '@jsigr/datasets';
import { createEngine, type Engine } from '@jsigr/engine';
import type { Checkpoint } from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StudyStore } from './store.ts';
import { profile } from './testing.ts';
import { trainRun } from './training.ts';

let folder: string;
let engine: Engine;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-study-store-'));
  engine = await createEngine({ threads: 1 });
});
afterAll(async () => {
  await engine.dispose();
  await rm(folder, { recursive: true });
});

const dataset = glyphs({ variant: 'gray28', seed: 1, train: 64, test: 16 });
const spec = {
  id: 'mlp-1',
  label: 'standard',
  architecture: 'mlp',
  objective: 'standard',
  settings: {},
  noise: 0,
  epochs: 3,
  seed: 1,
};

/** A store of a process that is killed when it keeps the checkpoint of the second epoch. */
class Killed extends StudyStore {
  moment: 'before' | 'after' | undefined;
  #kept = 0;

  override async keep(id: string, checkpoint: Checkpoint): Promise<void> {
    const dies = ++this.#kept === 2;
    if (dies && this.moment === 'before') throw new Error('killed');
    await super.keep(id, checkpoint);
    if (dies && this.moment === 'after') throw new Error('killed');
  }
}

function studyIn(name: string, moment?: 'before' | 'after') {
  const store = new Killed(join(folder, name), join(folder, name, 'work'));
  store.moment = moment;
  const lines: string[] = [];
  const tiny = { ...profile, batchSize: 16, learningRate: 1e-3 };
  const log = (line: string) => void lines.push(line);
  return { profile: tiny, engine, dataset, digest: 'd', machine: 'm', store, lines, log };
}

describe('a training of a study', () => {
  let weights: string;
  beforeAll(async () => {
    ({ weights } = await trainRun(studyIn('whole'), spec));
  });

  for (const moment of ['before', 'after'] as const)
    test(`that is killed just ${moment} its checkpoint is there knows all its epochs in the end`, async () => {
      await expect(trainRun(studyIn(moment, moment), spec)).rejects.toThrow('killed');
      const run = await trainRun({ ...studyIn(moment), machine: 'n' }, spec);
      expect(run.weights).toBe(weights);
      expect(run.record.training?.value.machine).toBe('m, then n');
      expect(run.record.training?.value.epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    });

  const damages: [string, (file: string) => Promise<unknown>][] = [
    ['shorter', (file) => truncate(file, 100)],
    ['gone', (file) => rm(file)],
    ['a folder', (file) => rm(file).then(() => mkdir(file))],
  ];
  for (const [what, damage] of damages)
    test(`whose last checkpoint has a file that is ${what} begins again, to the same weights, and says so`, async () => {
      const name = `damaged ${what}`;
      await expect(trainRun(studyIn(name, 'after'), spec)).rejects.toThrow('killed');
      const kept = join(folder, name, 'work', spec.id);
      const [step = ''] = await readdir(kept);
      await damage(join(kept, step, 'weights.safetensors'));
      const study = studyIn(name);
      const run = await trainRun(study, spec);
      expect(run.weights).toBe(weights);
      expect(run.record.training?.value.epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
      expect(study.lines).toEqual([expect.stringContaining(`the checkpoint ${join(kept, step)} is damaged: `)]);
      expect(await readdir(kept)).toHaveLength(1);
    });
});

test('examples that are not the bytes that were kept are none', async () => {
  const work = join(folder, 'examples-only');
  const store = new StudyStore(work, work);
  expect(await store.examples('k')).toBeUndefined();
  await store.keepExamples('k', Buffer.from('abc'));
  expect(Buffer.from((await store.examples('k')) ?? []).toString()).toBe('abc');
  const file = join(work, 'examples', 'k.examples');
  const bytes = await readFile(file);
  for (const at of [0, bytes.length - 1]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await writeFile(file, damaged);
    expect(await store.examples('k')).toBeUndefined();
  }
});

test('a record that cannot be read is an error that names it', async () => {
  const records = join(folder, 'records');
  await mkdir(join(records, 'mlp-1.json'), { recursive: true });
  await expect(new StudyStore(records, records).read(spec)).rejects.toThrow(
    `${join(records, 'mlp-1.json')} cannot be read: `,
  );
});
