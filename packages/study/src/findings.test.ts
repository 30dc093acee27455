import { describe, expect, test } from 'vitest';
import { cellsOf } from './cells.ts';
import { claimsOf } from './claims.ts';
import { type Duel, duelCells, duelsOf, findings } from './findings.ts';
import type { RunRecord } from './record.ts';
import { type Made, made, madeUp, profile } from './testing.ts';

function said(change?: Parameters<typeof madeUp>[0]): string[] {
  const cells = cellsOf(profile, madeUp(change));
  return findings(profile, cells, duelsOf(profile, cells));
}

describe('findings are made from the numbers, for and against alike', () => {
  test('of robustness: ahead and behind only where every seed tells the models apart', () => {
    const sentences = said();
    // 20 of 40 against 19: one sample, p = 1
    expect(sentences).toContain(
      'Transferred examples, J-SIGR against Jacobian norm alone: ahead in 0 of 1 comparisons (architecture and radius), behind in 0, undecided in 1; +2.5 to +2.5 points.',
    );
    // 14 samples more, p = 2 / 2^14
    expect(sentences).toContain(
      'Transferred examples, J-SIGR against PGD-AT-7: ahead in 0 of 1 comparisons (architecture and radius), behind in 1, undecided in 0; -35.0 to -35.0 points.',
    );
    expect(sentences).toContain(
      'The strongest rival under white-box attacks is PGD-AT-7: J-SIGR is ahead of it in 0 of 1 comparisons, behind in 1.',
    );
    expect(said({ 'J-SIGR': { robust: 38 } })).toContain(
      'The strongest rival under transferred examples is PGD-AT-7: J-SIGR is ahead of it in 0 of 1 comparisons, behind in 0.',
    );
  });

  test('of clean accuracy, and whether that of a half is the same', () => {
    const clean = (sentences: readonly string[]) =>
      sentences.filter((sentence) => sentence.includes('Jacobian norm alone') && sentence.startsWith('Clean'));
    expect(clean(said())).toEqual([
      'Clean accuracy, lenet: J-SIGR 90.0 ± 0.0 [76.9, 96.0] %, Jacobian norm alone 95.0 ± 0.0 [83.5, 98.6] %, a difference of -5.0 points. Equal to within 0.3 points: no.',
    ]);
    expect(clean(said({ 'Jacobian norm alone': { clean: 36 } }))[0]).toMatch(/0\.0 points\. .* 0\.3 points: yes\.$/);
  });

  test('of cost: a bound holds or does not', () => {
    expect(said()).toContain(
      'Cost, lenet: an epoch of J-SIGR in epochs of PGD-AT-7: 0.50, 0.50 (by the fastest epochs 0.50, 0.50); the bound of 0.6 holds.',
    );
    expect(said({ 'J-SIGR': { seconds: 4.5 } })).toContain(
      'Cost, lenet: an epoch of J-SIGR in epochs of standard: 4.50, 4.50 (by the fastest epochs 4.50, 4.50); the bound of 4 does not hold.',
    );
  });

  test('of explanations: by intervals that do not overlap', () => {
    const mass = (sentences: readonly string[]) => sentences.filter((sentence) => sentence.startsWith('Relevance'));
    expect(mass(said())[0]).toMatch(/standard 20.0 .*J-SIGR is above, and the intervals do not overlap/);
    expect(mass(said())[1]).toMatch(/PGD-AT-7 40.0 .*J-SIGR is below, and the intervals do not overlap/);
    expect(mass(said({ 'J-SIGR': { mass: 0.205 } }))[0]).toMatch(/the intervals overlap/);
  });

  test('of masked gradients and of trainings that broke down', () => {
    const sentences = said({ 'J-SIGR': { masking: 'suspected' }, 'PGD-AT-7': { ended: 'the loss is NaN' } });
    expect(sentences).toContain(
      'Masked gradients are suspected at J-SIGR (lenet) (linf 0.1): their white-box figures may be too good.',
    );
    expect(sentences).toContain('Training broke down: lenet, PGD-AT-7, seed 2: the loss is NaN.');
  });
});

test('a training that broke down before its first epoch counts for no cost', () => {
  const whole = made('J-SIGR', 1, { clean: 36, robust: 20, seconds: 3, mass: 0.3 });
  const training = { key: '', value: { epochs: [], ended: 'diverged', weights: '', machine: 'm' } };
  const broken = { spec: { ...whole.spec, seed: 2 }, training, measures: {} };
  const costs = (...runs: RunRecord[]) =>
    cellsOf(profile, runs)
      .filter(({ label }) => label === 'J-SIGR')
      .map(({ secondsPerEpoch, seconds }) => [secondsPerEpoch?.mean, seconds?.mean]);
  expect(costs(whole, broken)).toEqual([[3, 3]]);
  expect(costs(broken)).toEqual([[undefined, undefined]]);
  const cells = cellsOf(profile, [made('standard', 2, { clean: 40, robust: 2, seconds: 1, mass: 0.2 }), broken]);
  expect(findings(profile, cells, duelsOf(profile, cells)).join()).not.toContain('NaN');
});

describe('a rival at equal time', () => {
  const label = 'PGD-AT-7, equal time';
  const settings = { epsilon: 0.1, epsilonWarmupEpochs: 2 };
  const row = { label, objective: 'pgd-at', recipes: [{ settings }] as const };
  const paced = {
    ...profile,
    objectives: [...profile.objectives, { ...row, sameTime: { as: 'J-SIGR', pace: label } }],
  };
  const duels = (epsilonWarmupEpochs: number, change: Partial<Made> = {}) => {
    // 20 of 40 against 2, and J-SIGR took 3 s
    const figures = { clean: 38, robust: 2, seconds: 3, mass: 0.4, ...change };
    const rivals = [1, 2].map((seed) => made(label, seed, figures));
    const runs = rivals.map((run) => ({
      ...run,
      spec: { ...run.spec, settings: { ...settings, epsilonWarmupEpochs } },
    }));
    const cells = cellsOf(paced, [...madeUp(), ...runs]);
    const all = duelsOf(paced, cells);
    const [tally = ''] = findings(paced, cells, all).filter((text) =>
      text.startsWith(`Transferred examples, J-SIGR against ${label}`),
    );
    const [claim] = claimsOf(paced, cells, all);
    return {
      tally,
      numbers: claim?.tests[1]?.numbers,
      cells: duelCells(all.find(({ rival }) => rival === label) as Duel),
    };
  };

  test('is judged where it had its warm-up', () => {
    const { tally, cells } = duels(0.4);
    expect(tally).toContain('ahead in 1 of 1');
    expect(cells[6]).toBe('ahead');
  });

  test.each([
    { change: { seconds: 2.8 }, verdict: 'ahead' },
    { change: { seconds: 2 }, verdict: `undecided: ${label} took 0.67, 0.67 of the time, by the fastest epochs` },
    { change: { seconds: 4 }, verdict: `undecided: ${label} took 1.33, 1.33 of the time, by the fastest epochs` },
    {
      change: { machine: 'n' },
      verdict: `undecided: ${label} has no time that can be compared: another machine, or none`,
    },
  ])('with $change is judged: $verdict', ({ change, verdict }) => {
    expect(duels(0.4, change).cells[6]).toBe(verdict);
  });

  test('is judged by the pace of the row of its recipe, where other work made its own epochs slow', () => {
    const pace = 'PGD-AT-7';
    const study = { ...paced, objectives: [...profile.objectives, { ...row, sameTime: { as: 'J-SIGR', pace } }] };
    const verdictAt = (seconds: number) => {
      const rivals = [1, 2].map((seed) => made(label, seed, { clean: 38, robust: 2, seconds: 9, mass: 0.4 }));
      const runs = [...madeUp({ [pace]: { seconds } }), ...rivals].map((run) =>
        run.spec.label === label ? { ...run, spec: { ...run.spec, settings } } : run,
      );
      return duelsOf(study, cellsOf(study, runs)).find(({ rival }) => rival === label)?.comparison.verdict;
    };
    // J-SIGR took 3 s.
    expect([verdictAt(3.2), verdictAt(6)]).toEqual(['ahead', 'undecided']);
  });

  test('decides nothing where its training was too short for it, and the page says why', () => {
    const { tally, numbers, cells } = duels(0);
    const reason = `${label} was trained for one epoch or less, too short for its warm-up`;
    expect(tally).toContain(
      `ahead in 0 of 1 comparisons (architecture and radius), behind in 0, undecided in 1; +45.0 to +45.0 points; ${reason}.`,
    );
    expect(numbers).toContain(`ahead in 0 of 1, behind in 0; +45.0 to +45.0 points; ${reason}`);
    expect(cells[6]).toBe(`undecided: ${reason}`);
  });
});

describe('of an unfinished study', () => {
  const three = { ...profile, seeds: [1, 2, 3] };
  const said = (runs: readonly RunRecord[]) => {
    const cells = cellsOf(three, runs);
    const duels = duelsOf(three, cells);
    return { duels, sentences: findings(three, cells, duels), claims: claimsOf(three, cells, duels) };
  };
  const ours = (seed: number, robust: number, clean = 36) =>
    made('J-SIGR', seed, { clean, robust, seconds: 3, mass: 0.3 });
  const theirs = (seed: number, robust: number, clean = 38) =>
    made('PGD-AT-7', seed, { clean, robust, seconds: 6 * seed, mass: 0.4 });

  test('only seeds that both have are compared, and named', () => {
    // at the seeds 1 and 3: 20 and 22 of 40 against 8 and 10; what seed 2 alone has changes nothing
    const { duels, sentences, claims } = said([ours(1, 20), ours(2, 40, 40), ours(3, 22), theirs(1, 8), theirs(3, 10)]);
    expect(duels).toHaveLength(2);
    for (const duel of duels) expect(duel).toMatchObject({ robust: [0.525, 0.225], seeds: 'seeds 1, 3 of 3' });
    expect(duels[0]?.clean).toBeCloseTo(-0.05);
    expect(sentences).toContain(
      'Transferred examples, J-SIGR against PGD-AT-7: ahead in 1 of 1 comparisons (architecture and radius), behind in 0, undecided in 0; +30.0 to +30.0 points; lenet: seeds 1, 3 of 3.',
    );
    // 3 s against 6 s and 3 s against 18 s
    expect(sentences).toContain(
      'Cost, lenet (seeds 1, 3 of 3): an epoch of J-SIGR in epochs of PGD-AT-7: 0.50, 0.17 (by the fastest epochs 0.50, 0.17); the bound of 0.6 holds.',
    );
    expect(claims[0]?.tests[0]?.numbers).toContain('52.5 against 22.5 % (clean -5.0; seeds 1, 3 of 3)');
    expect(duelCells(duels[0] as Duel)[5]).toContain('(seeds 1, 3 of 3)');
  });

  test('nothing is said of a model that has no figures', () => {
    const broken = { ...ours(1, 0), measures: {} };
    for (const runs of [
      [broken, theirs(1, 8)],
      [ours(1, 20), { ...theirs(1, 8), measures: {} }],
      [ours(2, 20), theirs(1, 8)],
    ]) {
      const { duels, sentences } = said(runs);
      expect(duels).toEqual([]);
      expect(sentences.join()).not.toMatch(/100\.0|Clean accuracy|J-SIGR - %/);
    }
  });

  test('a model that is not made yet has no verdict on masked gradients', () => {
    const { sentences } = said([ours(1, 20)]);
    expect(sentences.join()).not.toContain('not looked for');
    expect(cellsOf(three, [ours(1, 20)]).map(({ label, masking }) => [label, masking])).toContainEqual([
      'standard',
      '-',
    ]);
  });
});
