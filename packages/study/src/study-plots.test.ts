import { describe, expect, test } from 'vitest';
import { studyPlots } from './study-plots.ts';
import { made, madeUp, profile } from './testing.ts';

const accuracyOf = (runs: ReturnType<typeof madeUp>) =>
  studyPlots(profile, { runs, trials: {}, maskShare: undefined }).find(({ file }) => file.endsWith('-accuracy.svg'))
    ?.svg;
/** The words of a drawing that are numbers. */
const numbersOf = (svg = '') => [...svg.matchAll(/>(\d[\d.]*)</g)].map(([, number]) => number);

describe('the plot of accuracies', () => {
  test('has no number twice on an axis, however near the accuracies are', () => {
    const near = { clean: 39, robust: 20, seconds: 1, mass: 0.2 };
    // 98.75 and 100 %
    const runs = [1, 2].flatMap((seed) => [
      made('standard', seed, { ...near, clean: 38 + seed }),
      made('J-SIGR', seed, { ...near, clean: 40 }),
    ]);
    const labels = numbersOf(accuracyOf(runs));
    expect(labels.length).toBeGreaterThan(3);
    expect(labels.filter((label, i) => labels.indexOf(label) !== i)).toEqual([]);
  });

  test('speaks of rings where there is one', () => {
    expect(accuracyOf(madeUp({ standard: { masking: 'suspected' } }))).toContain('>ring: signs of masked gradients<');
    expect(accuracyOf(madeUp())).toContain('>no signs of masked gradients<');
    // The other models are not made yet.
    expect(accuracyOf(madeUp().slice(0, 2))).toContain('>no signs of masked gradients<');
  });
});
