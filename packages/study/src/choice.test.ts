import { describe, expect, test } from 'vitest';
import { bestAt, bestWithin } from './choice.ts';

const trial = (name: string, clean: number, transferred: number) => ({
  recipe: { settings: { name } },
  clean,
  transferred,
});
const trials = [trial('mild', 0.99, 0.4), trial('medium', 0.982, 0.6), trial('strong', 0.95, 0.8)];

describe('of the candidates of an objective', () => {
  test('the most robust is taken that costs no more clean accuracy than the tolerance', () => {
    expect(bestWithin(trials, 0.01).recipe.settings).toEqual({ name: 'medium' });
    expect(bestWithin(trials, 0.005).recipe.settings).toEqual({ name: 'mild' });
    expect(bestWithin(trials, 1).recipe.settings).toEqual({ name: 'strong' });
  });

  test('that must have the clean accuracy of another row the most robust within 0.3 points is taken', () => {
    const near = [trial('nearest', 0.98, 0.5), trial('above', 0.983, 0.6), trial('beyond', 0.9835, 0.9)];
    expect(bestAt(0.98, near).recipe.settings).toEqual({ name: 'above' });
  });

  test('that must have it and do not, the nearest is taken, above or below', () => {
    expect(bestAt(0.96, trials).recipe.settings).toEqual({ name: 'strong' });
    expect(bestAt(0.97, trials).recipe.settings).toEqual({ name: 'medium' });
    expect(bestAt(0.9, trials).recipe.settings).toEqual({ name: 'strong' });
  });
});
