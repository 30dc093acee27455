import { MaskingVerdict, Proportion, RobustnessReport, RunState, TrainingRun } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { groupsOf } from './groups.ts';
import { paretoPlot } from './pareto-plot.ts';
import { front, type Point, summaryText } from './summary.ts';

describe('the Pareto front', () => {
  it.each<{ what: string; points: (Point | undefined)[]; best: boolean[] }>([
    { what: 'one point', points: [[1, 1, 1]], best: [true] },
    {
      what: 'a point that is worse in everything',
      points: [
        [1, 1, 1],
        [2, 2, 2],
      ],
      best: [false, true],
    },
    {
      what: 'points that trade one for the other',
      points: [
        [1, 2, 1],
        [2, 1, 1],
      ],
      best: [true, true],
    },
    {
      what: 'worse in one thing and equal in the rest',
      points: [
        [1, 1, 1],
        [1, 1, 2],
      ],
      best: [false, true],
    },
    {
      what: 'equal points',
      points: [
        [1, 1, 1],
        [1, 1, 1],
      ],
      best: [true, true],
    },
    { what: 'a run without figures', points: [undefined, [0, 0, 0]], best: [false, true] },
  ])('of $what', ({ points, best }) => {
    expect(front(points)).toEqual(best);
  });
});

const share = (successes: number) =>
  Proportion.fromPartial({ successes, trials: 100, value: successes / 100, lower: 0.1, upper: 0.9 });
const result = (objective: string, clean: number, robust: number) => ({
  values: [objective],
  recipe: objective,
  run: TrainingRun.fromPartial({ state: RunState.RUN_STATE_SUCCEEDED, bestModel: `models/${'ab'.repeat(32)}` }),
  secondsPerEpoch: 2,
  heldOutAccuracy: 0.875,
  report: RobustnessReport.fromPartial({
    cleanAccuracy: share(clean),
    epsilons: [{ norm: 'linf', epsilon: 0.2, whiteBox: share(robust) }],
    masking: MaskingVerdict.MASKING_VERDICT_NOT_ASSESSED,
  }),
});

describe('the summary', () => {
  it('gives every figure with its interval, samples and the verdict on masking, and marks the front', () => {
    const lines = summaryText(
      ['objective'],
      [result('standard', 90, 0), result('jsigr', 80, 40), result('bad', 70, 30)],
    )
      .trimEnd()
      .split('\n');
    expect(lines[0]).toMatch(
      /^OBJECTIVE +STATE +HELD-OUT +S\/EPOCH +CLEAN +WHITE-BOX AT linf 0.2 +TRANSFERRED +MASKING +PARETO/,
    );
    expect(lines[1]).toMatch(
      /^standard +succeeded +87.5 % +2.0 +90.0 % \[10.0, 90.0\] +0.0 % .* - +not assessed +\* +models\/abab/,
    );
    expect(lines[2]).toMatch(/^jsigr .*40.0 % \[10.0, 90.0\] .*not assessed +\* +models/);
    expect(lines[3]).not.toContain('*');
    expect(lines[4]).toContain('100 samples each, 95 % intervals');
  });

  it.each([
    {
      what: 'in the norm in which fewest stand, at its largest radius',
      epsilons: [
        { norm: 'l2', epsilon: 0.5, whiteBox: share(40) },
        { norm: 'l2', epsilon: 1, whiteBox: share(5) },
        { norm: 'linf', epsilon: 0.1, whiteBox: share(30), transferred: share(60) },
      ],
      titles: /WHITE-BOX AT l2 1 +TRANSFERRED AT linf 0.1 /,
      shares: / 5.0 % .* 60.0 % /,
    },
    {
      what: 'where both kinds of attacks have other radii',
      epsilons: [
        { norm: 'linf', epsilon: 0.1, whiteBox: share(30) },
        { norm: 'linf', epsilon: 0.3, transferred: share(60) },
      ],
      titles: /WHITE-BOX AT linf 0.1 +TRANSFERRED AT linf 0.3 /,
      shares: / 30.0 % .* 60.0 % /,
    },
  ])('says what is left $what', ({ epsilons, titles, shares }) => {
    const one = result('jsigr', 90, 0);
    const report = RobustnessReport.fromPartial({ ...one.report, epsilons });
    const text = summaryText(['objective'], [{ ...one, report }]);
    expect(text).toMatch(titles);
    expect(text).toMatch(shares);
    // The worst of both makes the front: 30 % (or 5 %) against 20 %.
    const [, ...rows] = summaryText(['objective'], [{ ...one, report }, result('rival', 95, 20)]).split('\n');
    expect(rows[0]?.includes('*')).toBe(/ 30.0 /.test(rows[0] ?? ''));
  });

  it('names no radius that is not that of all', () => {
    const one = result('jsigr', 90, 0);
    const report = RobustnessReport.fromPartial({
      ...one.report,
      epsilons: [{ norm: 'l2', epsilon: 1, whiteBox: share(5) }],
    });
    expect(summaryText(['objective'], [one, { ...one, report }])).toMatch(/WHITE-BOX AT ITS WORST +TRANSFERRED /);
  });

  it('has no robustness columns where nothing was attacked', () => {
    const text = summaryText(['seed'], [{ ...result('1', 1, 1), report: undefined, heldOutAccuracy: undefined }]);
    expect(text).not.toMatch(/MASKING|CLEAN|PARETO/);
    expect(text).toMatch(/^1 +succeeded +- +2.0 +models/m);
  });
});

describe('runs that differ in nothing but the seed', () => {
  const seeded = (objective: string, seed: string, clean: number, robust: number) => ({
    ...result(objective, clean, robust),
    values: [objective, seed],
  });
  const axes = ['objective', 'seed'];
  const results = [
    seeded('standard', '1', 90, 10),
    seeded('standard', '2', 94, 12),
    seeded('jsigr', '1', 80, 40),
    seeded('jsigr', '2', 84, 50),
    seeded('bad', '1', 70, 10),
    seeded('bad', '2', 70, 10),
  ];

  it('stand together below, with mean, spread and the front', () => {
    const text = summaryText(axes, results);
    const [, together = ''] = text.split('\n\n');
    const lines = together.trimEnd().split('\n');
    expect(lines[0]).toMatch(
      /^OBJECTIVE +SEEDS +HELD-OUT +S\/EPOCH +CLEAN +WHITE-BOX AT linf 0.2 +TRANSFERRED +MASKING +PARETO/,
    );
    // 40 and 50: mean 45, standard deviation sqrt(50)
    expect(lines[2]).toMatch(/^jsigr +2 +87.5 % ± 0.0 +2.0 ± 0.0 +82.0 % ± 2.8 +45.0 % ± 7.1 +- +not assessed +\*$/);
    expect(lines[1]).toMatch(/^standard .*\*$/);
    expect(lines[3]).toMatch(/^bad .*not assessed$/);
  });

  it('are a point each in the plot, with the cost beside it and a ring around what is best', () => {
    const svg = paretoPlot(groupsOf(axes, results), 'all of it');
    expect(svg.match(/<circle/g)).toHaveLength(2);
    expect(svg.match(/>2.0 s</g)).toHaveLength(3);
    for (const words of ['>standard<', '>jsigr<', '>bad<', 'masking: not assessed']) expect(svg).toContain(words);
  });

  it('and nothing else: neither equal names make a group, nor different ones two', () => {
    const groups = groupsOf(axes, [
      { ...seeded('jsigr', '1', 80, 40), recipe: 'weak' },
      { ...seeded('jsigr', '1', 60, 60), recipe: 'strong' },
      { ...seeded('again', '2', 84, 50), recipe: 'weak' },
    ]);
    expect(groups.map(({ values, runs, clean }) => [values, runs, clean?.mean])).toEqual([
      [['jsigr, again'], 2, expect.closeTo(0.82, 9)],
      [['jsigr'], 1, 0.6],
    ]);
  });

  it('do not count where they failed', () => {
    const failed = {
      ...seeded('jsigr', '3', 0, 0),
      // What it had kept before it failed is no model of the sweep.
      run: TrainingRun.fromPartial({ state: RunState.RUN_STATE_FAILED, latestModel: `models/${'cd'.repeat(32)}` }),
    };
    const all = [...results.slice(2, 4), { ...failed, report: undefined }];
    const [group] = groupsOf(axes, all);
    expect(group).toMatchObject({ runs: 2, tried: 3, clean: { mean: expect.closeTo(0.82, 9) } });
    expect(summaryText(axes, all)).toMatch(/^jsigr +2 of 3 /m);
  });
});
