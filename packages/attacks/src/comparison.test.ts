import { createEngine } from '@jsigr/engine';
import { expect, test } from 'vitest';
import { compareLedgers, robustSamples } from './comparison.ts';
import { evaluate } from './evaluation.ts';
import type { Cell, Ledger } from './ledger.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';

interface Made {
  readonly samples?: number;
  readonly label?: number;
  /** Samples that are wrong without attack. */
  readonly wrong?: readonly number[];
  /** Of each attack at each radius, whom it fools. */
  readonly fooled: readonly (readonly [
    attack: string,
    epsilon: number,
    samples: readonly number[],
    norm?: Cell['norm'],
  ])[];
}

/** Ten samples of class 1 unless told otherwise. */
function ledgerOf({ samples = 10, label = 1, wrong = [], fooled }: Made): Ledger {
  const cells = fooled.map(([attack, epsilon, , norm = 'linf']) => ({ attack, norm, epsilon }));
  const spent = { seed: 0, attempt: 0, forwards: 1, backwards: 1, loss: 0, distance: 0, labelBefore: label };
  const clean = Array.from({ length: samples }, (_, sample) => ({
    sample,
    label,
    prediction: wrong.includes(sample) ? 0 : label,
  }));
  return {
    fingerprint: 'made up',
    seed: 0,
    cells,
    clean,
    units: cells.map((own, cell) => ({
      cell,
      block: 0,
      seconds: 0,
      rows: clean.map(({ sample }) => {
        const success = fooled[cell]?.[2].includes(sample) ?? false;
        return { ...spent, ...own, sample, labelAfter: success ? 0 : label, success };
      }),
    })),
  };
}

const upTo = (count: number) => Array.from({ length: count }, (_, sample) => sample);

test('shares have exact intervals, and the samples that tell the two apart are tested', () => {
  const first = ledgerOf({ fooled: [['pgd', 0.1, []]] });
  const second = ledgerOf({ wrong: [9], fooled: [['apgd', 0.1, upTo(9)]] });
  const { samples, clean, robust } = compareLedgers(first, second);
  expect(samples).toBe(10);
  // All of n: [0.025^(1/n), 1]; none of n: [0, 1 - 0.025^(1/n)]. Ten of ten against none: 2 * 2^-10; one against none: 1.
  expect(clean).toMatchObject({ first: { count: 10, total: 10 }, second: { value: 0.9 }, onlyFirst: 1, onlySecond: 0 });
  expect(clean.p).toBeCloseTo(1, 12);
  expect(robust).toHaveLength(1);
  expect(robust[0]).toMatchObject({
    ...{ norm: 'linf', epsilon: 0.1, source: 'target', onlyFirst: 10, onlySecond: 0 },
    first: { value: 1, count: 10, total: 10, high: 1 },
    second: { value: 0, count: 0, total: 10, low: 0 },
  });
  expect(robust[0]?.first.low).toBeCloseTo(0.025 ** 0.1, 9);
  expect(robust[0]?.second.high).toBeCloseTo(1 - 0.025 ** 0.1, 9);
  expect(robust[0]?.p).toBeCloseTo(2 / 1024, 12);
});

test('the worst case counts: all attacks of a kind, smaller radii too, and no control', () => {
  const first = ledgerOf({
    wrong: [7],
    fooled: [
      ['noise', 0.1, upTo(10)],
      ['pgd', 0.1, [0]],
      ['pgd', 0.2, [1]],
      ['square', 0.2, [1, 2]],
      ['transfer', 0.2, [5]],
      ['pgd', 0.2, upTo(10), 'l2'],
    ],
  });
  const second = ledgerOf({
    fooled: [
      ['pgd', 0.2, [8]],
      ['mi-fgsm', 0.2, [5]],
      ['pgd', 0.3, [9]],
    ],
  });
  const { robust } = compareLedgers(first, second);
  expect(robust.map((one) => [one.source, one.epsilon, one.first.count, one.second.count])).toEqual([
    ['target', 0.2, 6, 9],
    ['surrogates', 0.2, 8, 9],
  ]);
  expect(robust.map(({ onlyFirst, onlySecond }) => [onlyFirst, onlySecond])).toEqual([
    [1, 4],
    [0, 1],
  ]);
  expect([...robustSamples(first, { norm: 'linf', epsilon: 0.2 })]).toEqual([3, 4, 6, 8, 9]);
});

test('only samples that both have are counted', () => {
  const pair = [
    ledgerOf({ samples: 4, fooled: [['pgd', 0.1, [0]]] }),
    ledgerOf({ fooled: [['pgd', 0.1, upTo(10)]] }),
  ] as const;
  const { samples, robust } = compareLedgers(...pair);
  expect([samples, robust[0]?.first.count, robust[0]?.second.total]).toEqual([4, 3, 4]);
});

test.each([
  ['samples', { samples: 0, fooled: [['pgd', 0.1, []]] }],
  ['labels', { label: 2, fooled: [['pgd', 0.1, []]] }],
  ['epsilons', { fooled: [['pgd', 0.2, []]] }],
  ['epsilons', { fooled: [['pgd', 0.1, [], 'l2']] }],
  [
    'epsilons',
    {
      fooled: [
        ['mi-fgsm', 0.1, []],
        ['noise', 0.1, []],
      ],
    },
  ],
] satisfies [string, Made][])('refuses what cannot be compared: %s of %j', (field, made) => {
  const first = ledgerOf({
    fooled: [
      ['pgd', 0.1, []],
      ['noise', 0.1, []],
    ],
  });
  expect(() => compareLedgers(first, ledgerOf(made))).toThrow(
    expect.objectContaining({ reason: 'LEDGER_MISMATCH', field }),
  );
});

test('agrees with the worst cases of a report', async () => {
  const engine = await createEngine();
  const target = linearClassifier(
    [
      [0, 0, 0, 0],
      [1, 1, -1, -1],
    ],
    [0, 0],
  );
  const epsilons = [0.02, 0.1];
  const plan = ['noise', 'fgsm', 'pgd', 'mi-fgsm'].map((attack) => ({ attack, norm: 'linf' as const, epsilons }));
  const { report, ledger } = await evaluate(engine, {
    ...{
      target,
      surrogates: [
        linearClassifier(
          [
            [0, 0, 0, 0],
            [1, 0, -1, 0],
          ],
          [0, 0],
        ),
      ],
      plan,
      seed: 9,
    },
    ...{ split: greySplit(40, 4, 3), indices: upTo(40), input: [1, 1, 4] as const },
  });
  await engine.dispose();
  const { clean, robust } = compareLedgers(ledger, ledger);
  expect(clean.first.count).toBe(report.clean.count);
  const found = (source: string) => robust.filter((one) => one.source === source).map(({ first }) => first.count);
  expect(found('target')).toEqual(report.worstCase.map(({ whiteBox }) => whiteBox?.count));
  expect(found('surrogates')).toEqual(report.worstCase.map(({ transferred }) => transferred?.count));
  expect(new Set([...found('target'), ...found('surrogates'), clean.first.count]).size).toBeGreaterThan(3);
});
