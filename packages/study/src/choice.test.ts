import { glyphs } from '@jsigr/datasets';
import { describe, expect, test } from 'vitest';
import { bestAt, bestWithin, choose, heldOutSamples, largestOf } from './choice.ts';
import { outcomesOf } from './outcomes.ts';
import type { Profile, StudyObjective } from './profile.ts';
import type { RunRecord, RunSpec } from './record.ts';
import { keyOf, type StudyStore } from './store.ts';
import type { StudyContext } from './study-context.ts';
import { profile as madeUp } from './testing.ts';
import { trainingKey } from './training.ts';
import { TRANSFER_RECIPE } from './transfer.ts';

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

describe('a candidate that broke down before it had any weights', () => {
  const row: StudyObjective = {
    label: 'J-SIGR',
    objective: 'jsigr',
    recipes: [{ settings: { gradientWeight: 1 } }, { settings: { gradientWeight: 2 } }],
  };
  const profile: Profile = {
    ...madeUp,
    objectives: [row],
    choice: { architecture: 'mlp', epochs: 1, seed: 1, samples: 4, tolerance: 1 },
  };
  const lines: string[] = [];
  /** Of a study in which those candidates broke down, and the others have nothing right under transferred examples. */
  const contextOf = (broken: readonly number[]): StudyContext => {
    const dataset = glyphs({ variant: 'gray28', train: 100, test: 2, seed: 1 });
    const read = async (spec: RunSpec): Promise<RunRecord> => {
      const weights = broken.some((each) => spec.id.endsWith(`-${each}`)) ? '' : 'w';
      const { indices } = heldOutSamples(context, 1);
      const robust = outcomesOf([false, false, false, false]);
      const transfer = {
        clean: outcomesOf([true, false, false, false]),
        sources: { lenet: [{ norm: 'linf', epsilon: 0.1, robust }] },
      };
      return {
        spec,
        training: {
          key: trainingKey(context, spec),
          value: { epochs: [], ended: weights ? 'completed' : 'the loss is NaN', weights, machine: 'm' },
        },
        measures: {
          transfer: {
            key: keyOf('transfer', weights, [], largestOf(profile), indices, TRANSFER_RECIPE),
            value: transfer,
          },
        },
      };
    };
    const store = { read } as unknown as StudyStore;
    const engine = undefined as unknown as StudyContext['engine'];
    const context: StudyContext = {
      profile,
      engine,
      dataset,
      digest: 'abc',
      machine: 'm',
      store,
      log: (line) => lines.push(line),
    };
    return context;
  };

  test('is never chosen, and the study says why', async () => {
    const { recipe, trials } = await choose(contextOf([1]), row, []);
    expect(recipe.settings).toEqual({ gradientWeight: 2 });
    expect(trials).toMatchObject([
      { clean: 0, transferred: 0, chosen: false, brokeDown: 'the loss is NaN' },
      { clean: 0.25, transferred: 0, chosen: true },
    ]);
    expect(lines).toContain('choice-j-sigr-1: broke down: the loss is NaN');
  });

  test('does not end the study where there is no other', async () => {
    expect((await choose(contextOf([1, 2]), row, [])).recipe.settings).toEqual({ gradientWeight: 1 });
  });
});
