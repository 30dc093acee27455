import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeDataset, glyphs } from '@jsigr/datasets';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Profile } from './profile.ts';
import { reproduce } from './reproduce.ts';
import { NotMade } from './study-context.ts';

// The whole of a study in seconds: two objectives, one of which has a choice, to have the clean accuracy of the other.
const profile: Profile = {
  name: 'tiny',
  dataset: 'glyphs',
  images: 160,
  epochs: 2,
  batchSize: 16,
  learningRate: 1e-3,
  augmentation: { cropPadding: 0, flip: false },
  architectures: ['mlp'],
  sources: ['smallcnn', 'mlp'],
  objectives: [
    { label: 'standard', objective: 'standard', recipes: [{ settings: {} }] },
    {
      label: 'J-SIGR',
      objective: 'jsigr',
      recipes: [{ settings: { gradientWeight: 1 } }, { settings: { gradientWeight: 5000 }, noise: 0.1 }],
      cleanOf: 'standard',
    },
  ],
  seeds: [1],
  balls: [{ norm: 'linf', epsilons: [0.02, 0.1] }],
  attack: 'smoke',
  samples: { attacked: 16, transferred: 32, explained: 8 },
  methods: ['gradient'],
  target: 0.1,
  choice: { architecture: 'mlp', epochs: 8, seed: 101, samples: 8, tolerance: 1 },
};
const files = encodeDataset(glyphs({ variant: 'gray28', seed: 1, train: 200, test: 40 }));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-study-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function study(
  name: string,
  log: (line: string) => void = () => {},
  signal?: AbortSignal,
  jobs = 1,
  isReadOnly = false,
) {
  const out = join(folder, name);
  const written = await reproduce({
    profile,
    whole: profile,
    quick: false,
    files,
    digest: '0123456789abcdef',
    out,
    work: join(out, 'work'),
    command: 'jsigr reproduce tiny',
    compute: { threads: 1 },
    jobs,
    isReadOnly,
    log,
    ...(signal ? { signal } : {}),
  });
  const page = await readFile(join(out, 'tiny.md'), 'utf8');
  const raw = join(out, 'tiny');
  const records = Object.fromEntries(
    await Promise.all(
      (await readdir(raw)).map(async (file) => [file, JSON.parse(await readFile(join(raw, file), 'utf8'))] as const),
    ),
  );
  return { out, written, page, records };
}

/** What must not differ between two studies: everything but the times. */
function withoutTimes(records: Record<string, { training: { value: { weights: string } }; measures: object }>) {
  return Object.entries(records).map(([file, { training, measures }]) => {
    const text = JSON.stringify([training.value.weights, measures]);
    return [file, text.replaceAll(/"seconds":[\d.e-]+/g, '')];
  });
}

describe('a study', () => {
  let whole: Awaited<ReturnType<typeof study>>;
  beforeAll(async () => {
    whole = await study('whole');
  }, 120_000);

  test('writes its page, its plots and a raw result for each model', () => {
    expect(whole.written.map((path) => path.slice(whole.out.length + 1))).toEqual([
      'tiny.md',
      'tiny-accuracy.svg',
      'tiny-cost.svg',
      'tiny-relevance-gradient.svg',
    ]);
    expect(Object.keys(whole.records).sort()).toEqual(
      [
        'choice-j-sigr-1',
        'choice-j-sigr-2',
        'choice-standard-1',
        'mlp-j-sigr-1',
        'mlp-standard-1',
        'source-mlp',
        'source-smallcnn',
      ].map((id) => `${id}.json`),
    );
  });

  test('measures all of it, and no robust accuracy is above the clean one or rises with the radius', () => {
    for (const architecture of ['mlp-j-sigr-1', 'mlp-standard-1']) {
      const { clean, whiteBox, transfer, corruption, explanation } = whole.records[`${architecture}.json`].measures;
      expect(clean.value.total).toBeGreaterThan(transfer.value.clean.total);
      const [near, far] = whiteBox.value.cells.map((cell: { robust: { yes: number } }) => cell.robust.yes);
      expect(whiteBox.value.clean.yes).toBeGreaterThanOrEqual(near);
      expect(near).toBeGreaterThanOrEqual(far);
      for (const cells of Object.values<{ robust: { yes: number } }[]>(transfer.value.sources))
        expect(cells[0]?.robust.yes).toBeGreaterThanOrEqual(cells[1]?.robust.yes ?? 99);
      expect(corruption.value).toHaveLength(6);
      expect(explanation.value[0]).toMatchObject({ method: 'gradient', mass: { count: 8 }, stability: { count: 8 } });
    }
  });

  test('has a verdict on masked gradients beside every robust accuracy', () => {
    for (const title of ['## Robust accuracy', '## J-SIGR beside', '## Transferred']) {
      const table = whole.page
        .slice(whole.page.indexOf(title))
        .split('\n')
        .filter((line) => line.startsWith('|'));
      expect(table[0]?.split('|').at(-2)?.trim()).toBe('masking');
      // The tiny models get fewer than 8 of the 16 images right: too few to look for masked gradients.
      expect(table[2]).toMatch(/not assessed[^|]* \|$/);
    }
    expect(whole.page).toContain('masking: not assessed'); // of the choice
    expect(whole.page).not.toContain('NaN');
  });

  test('says how every claim comes out, those too that nothing was measured of', () => {
    expect(whole.page).toContain('## What the evidence says');
    expect(whole.page).toMatch(
      /### 1\. Better robustness against transferred .*: not measured\n\n.*\n.*\n\| more robust than PGD-AT-7 under transferred examples \| not measured \| - \| - \|/,
    );
    expect(whole.page).toMatch(
      /\| more robust than standard under transferred examples \| .* \| mlp: J-SIGR not assessed, /,
    );
  });

  test('transfers the plain attack too, in the main ball, apart from its own', () => {
    const { sources } = whole.records['mlp-standard-1.json'].measures.transfer.value;
    const cells: { attack?: string; epsilon: number }[] = sources.smallcnn;
    expect(cells.map(({ attack, epsilon }) => [attack, epsilon])).toEqual([
      [undefined, 0.02],
      [undefined, 0.1],
      ['fgsm', 0.02],
      ['fgsm', 0.1],
    ]);
  });

  test('says what its white-box attacks are, and that they are weaker than AutoAttack', () => {
    expect(whole.page).toMatch(/White-box attacks are the profile `smoke` .*, weaker than AutoAttack: seconds: noise/);
  });

  test('chooses on held-out images what is as good as another row there, and says what it chose from', () => {
    const [fixed, first, second] = ['choice-standard-1', 'choice-j-sigr-1', 'choice-j-sigr-2'].map(
      (id) => whole.records[`${id}.json`].measures.transfer.value.clean.yes as number,
    ) as [number, number, number];
    const nearer = Math.abs(first - fixed) < Math.abs(second - fixed) ? 0 : 1;
    expect(first).not.toBe(second);
    const rows = whole.page.split('\n').filter((line) => line.includes('| chosen |'));
    expect(rows.map((line) => line.split('|').slice(1, 3).join().trim())).toEqual([
      'standard , defaults',
      `J-SIGR , gradientWeight=${[1, 5000][nearer]}`,
    ]);
    expect(whole.page).toContain(
      'Of J-SIGR the best whose held-out clean accuracy is that of standard to within 0.3 points',
    );
  });

  test('goes on where it was interrupted, to the same results', async () => {
    const stopping = new AbortController();
    let lines = 0;
    const interrupted = study('parts', () => ++lines === 6 && stopping.abort(new Error('enough')), stopping.signal);
    await expect(interrupted).rejects.toThrow('enough');
    const again: string[] = [];
    const { records } = await study('parts', (line) => again.push(line));
    expect(withoutTimes(records)).toEqual(withoutTimes(whole.records));
  });

  test('is the same with several models at once, and a worker that is stopped leaves nothing half made', async () => {
    const stopping = new AbortController();
    let lines = 0;
    const interrupted = study('jobs', () => ++lines === 4 && stopping.abort(new Error('enough')), stopping.signal, 3);
    await expect(interrupted).rejects.toThrow('enough');
    const again: string[] = [];
    const { records, page } = await study('jobs', (line) => again.push(line), undefined, 3);
    expect(withoutTimes(records)).toEqual(withoutTimes(whole.records));
    expect(page).toContain('3 models at once');
    expect(again.filter((line) => /^\d\/\d (source|choice)/.test(line))).toHaveLength(5);
  });

  test('has a page of what was made so far, which makes nothing', async () => {
    const raw = join(folder, 'so far', 'tiny');
    await cp(join(whole.out, 'tiny'), raw, { recursive: true });
    await rm(join(raw, 'mlp-j-sigr-1.json'));
    const lines: string[] = [];
    const read = () => study('so far', (line) => lines.push(line), undefined, 2, true);
    const { page, records } = await read();
    expect(page).toContain('A part of the study: 1 of 2 models are made.');
    expect(page).toMatch(/\| mlp \| J-SIGR \| -/);
    expect(lines).toEqual(['mlp-j-sigr-1 is not made yet', '1 of 2 models are there']);
    const { 'mlp-j-sigr-1.json': _, ...others } = whole.records;
    expect(records).toEqual(others);
    await rm(join(raw, 'source-mlp.json'));
    await expect(read()).rejects.toThrow(new NotMade('source-mlp is not made yet'));
  });

  test('ends with the unit that failed', async () => {
    const out = join(folder, 'broken');
    await mkdir(join(out, 'tiny'), { recursive: true });
    await writeFile(join(out, 'tiny', 'source-mlp.json'), '{');
    await expect(study('broken', undefined, undefined, 2)).rejects.toThrow(
      /^source mlp: .*source-mlp.json is no record of a study/,
    );
  });

  test('is not made again when it is there: only what changed is', async () => {
    await rm(join(whole.out, 'work'), { recursive: true });
    await rm(join(whole.out, 'tiny.md'));
    // All weights are gone, and one measurement: nothing but that model is trained again.
    const path = join(whole.out, 'tiny', 'mlp-standard-1.json');
    const record = whole.records['mlp-standard-1.json'];
    await writeFile(path, JSON.stringify({ ...record, measures: { ...record.measures, corruption: undefined } }));
    const lines: string[] = [];
    const { records } = await study('whole', (line) => lines.push(line));
    expect(records).toEqual(whole.records);
    expect(lines.filter((line) => line.includes('trained again'))).toEqual([
      'mlp-standard-1: its weights are not here, they are trained again',
    ]);
  });

  test('is made again where training gives other weights than the record has, with all that was measured with those', async () => {
    await rm(join(whole.out, 'work'), { recursive: true, force: true });
    for (const id of ['source-smallcnn', 'mlp-standard-1']) {
      const { training, measures } = whole.records[`${id}.json`];
      const other = { ...training, value: { ...training.value, weights: 'f'.repeat(64) } };
      const stale = { ...measures, ofOldWeights: { key: '', value: 0 } };
      const record = { ...whole.records[`${id}.json`], training: other, measures: stale };
      await writeFile(join(whole.out, 'tiny', `${id}.json`), JSON.stringify(record));
    }
    const lines: string[] = [];
    const { records } = await study('whole', (line) => lines.push(line));
    expect(lines.filter((line) => line.includes('other weights')).map((line) => line.split(':')[0])).toEqual([
      'source-smallcnn',
      'mlp-standard-1',
    ]);
    expect(withoutTimes(records)).toEqual(withoutTimes(whole.records));
  });
});
