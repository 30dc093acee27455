import { AttackResult, EvaluationPlan, Proportion, type RobustnessReport } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { describe, expect, test } from 'vitest';
import { type Asked, checkReport, isBetter, scoreOf } from './reports.ts';
import { reportOf, share } from './testing.ts';

function fieldsRefused(report: RobustnessReport, asked: Partial<Asked> = {}): string[] {
  try {
    checkReport(report, { model: 'models/a', ...asked });
    return [];
  } catch (error) {
    return JsigrError.from(error).violations.map(({ field }) => field);
  }
}

const good = reportOf('models/a', { '0.1': share(7, 10) });

describe('a report', () => {
  test('with sane figures is taken', () => {
    expect(fieldsRefused(good)).toEqual([]);
    const nothing = { ...reportOf('models/a', {}), cleanAccuracy: Proportion.fromPartial({}) };
    expect(fieldsRefused(nothing)).toEqual([]);
  });

  test('of another model is refused', () => {
    expect(fieldsRefused(good, { model: 'models/b' })).toEqual(['report.model']);
  });

  test('without a clean accuracy is refused', () => {
    expect(fieldsRefused({ ...good, cleanAccuracy: undefined })).toEqual(['report.cleanAccuracy']);
  });

  test.each([
    ['more successes than trials', { successes: 11, trials: 10, value: 1.1, lower: 1, upper: 1 }],
    ['a value that is not the share', { successes: 5, trials: 10, value: 0.9, lower: 0.4, upper: 1 }],
    ['an interval beside the value', { successes: 5, trials: 10, value: 0.5, lower: 0.6, upper: 0.9 }],
    ['an interval out of [0,1]', { successes: 5, trials: 10, value: 0.5, lower: -0.1, upper: 0.9 }],
    ['NaN', { successes: 5, trials: 10, value: Number.NaN, lower: 0, upper: 1 }],
  ])('with %s is refused, naming the place', (_name, wrong) => {
    const report = reportOf('models/a', { '0.1': share(7, 10), '0.3': Proportion.fromPartial(wrong) });
    expect(fieldsRefused(report)).toEqual(['report.epsilons[1].transferred']);
  });

  const asked = EvaluationPlan.fromPartial({
    attacks: [{ attack: 'mi-fgsm', norm: 'linf', epsilons: [0.1] }],
    samples: 10,
    part: 'held-out',
  });
  const answer = { ...good, dataset: 'datasets/a', part: 'held-out' };
  const result = (change: object) =>
    AttackResult.fromPartial({
      attack: 'mi-fgsm',
      norm: 'linf',
      epsilon: 0.1,
      robustAccuracy: share(7, 10),
      attackSuccess: share(2, 9),
      ...change,
    });
  test.each([
    ['is about what was asked', answer, []],
    ['is about another dataset', { ...answer, dataset: 'datasets/b' }, ['report.dataset']],
    ['is about the test set', { ...answer, part: 'test' }, ['report.part']],
    [
      'has more samples than were asked for',
      { ...answer, cleanAccuracy: share(18, 20), epsilons: [] },
      ['report.cleanAccuracy'],
    ],
    ['has an attack of the plan', { ...answer, attacks: [result({})] }, []],
    ['has an attack that nobody asked for', { ...answer, attacks: [result({ attack: 'pgd' })] }, ['report.attacks[0]']],
    ['has a radius that nobody asked for', { ...answer, attacks: [result({ epsilon: 0.2 })] }, ['report.attacks[0]']],
    [
      'says that more withstood than were right before',
      { ...answer, attacks: [result({ robustAccuracy: share(10, 10) })] },
      ['report.attacks[0].robustAccuracy'],
    ],
    [
      'counts other samples than it began with',
      { ...answer, epsilons: reportOf('a', { '0.1': share(4, 5) }).epsilons },
      ['report.epsilons[0].transferred'],
    ],
  ])('that %s', (_what, report, refused) => {
    expect(fieldsRefused(report, { dataset: 'datasets/a', plan: asked })).toEqual(refused);
  });

  test('with a radius that is none is refused', () => {
    const report = { ...good, epsilons: good.epsilons.map((each) => ({ ...each, epsilon: Number.NaN })) };
    expect(fieldsRefused(report)).toEqual(['report.epsilons[0].epsilon']);
  });
});

describe('selection', () => {
  test('goes by the transferred robust accuracy at the largest epsilon that has one', () => {
    const report = reportOf('models/a', { '0.3': share(4, 10), '0.1': share(7, 10) });
    report.epsilons.push({ norm: 'linf', epsilon: 0.5, whiteBox: share(1, 10), transferred: undefined });
    expect(scoreOf(report)).toMatchObject({ norm: 'linf', epsilon: 0.3, robustAccuracy: { value: 0.4 } });
  });

  test('is not made without transferred examples', () => {
    expect(scoreOf(reportOf('models/a', {}))).toBeUndefined();
  });

  test('prefers the higher, and of equals the earlier', () => {
    const [low, high] = [
      scoreOf(reportOf('a', { '0.1': share(4, 10) })),
      scoreOf(reportOf('a', { '0.1': share(5, 10) })),
    ];
    if (!low || !high) throw new Error('no score');
    expect([isBetter(low, undefined), isBetter(high, low), isBetter(low, low), isBetter(low, high)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
