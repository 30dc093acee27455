import { profilePlan } from '@jsigr/attacks';
import { planTraining, problemsOf } from '@jsigr/defenses';
import { findArchitecture } from '@jsigr/models';
import { methodNamed } from '@jsigr/saliency';
import { describe, expect, test } from 'vitest';
import { LABELS } from './profile.ts';
import { profiles, rowsOf } from './profiles.ts';

const all = Object.values(profiles).flatMap(({ full, quick }) => [full, quick]);

describe.each(all)('the study $name', (profile) => {
  test('can be trained, attacked and explained as it is written', () => {
    const model = { architecture: 'lenet', input: [28, 28, 1], classes: 10 } as const;
    for (const { objective, recipes } of profile.objectives)
      for (const { settings } of recipes) {
        const plan = planTraining({
          objective: { name: objective, settings: { ...settings } },
          epochs: profile.epochs,
        });
        expect(problemsOf({ plan, model, surrogates: [] })).toEqual([]);
      }
    for (const name of [...profile.architectures, ...profile.sources]) findArchitecture(name);
    for (const { norm, epsilons } of profile.balls) {
      profilePlan(`${profile.attack}@${norm}`, epsilons);
      expect(epsilons).toEqual(epsilons.toSorted((a, b) => a - b));
    }
    for (const method of profile.methods) methodNamed(method);
  });

  test('has the rows that the findings look for, and sources of other architectures', () => {
    const labels = profile.objectives.map(({ label }) => label);
    expect(labels).toEqual(expect.arrayContaining(Object.values(LABELS)));
    expect(new Set(labels).size).toBe(labels.length);
    for (const architecture of profile.architectures) {
      expect(profile.sources).toContain(architecture);
      expect(profile.sources.some((source) => source !== architecture)).toBe(true);
    }
  });

  test('trains a row at equal time after the rows that it depends on', () => {
    const labels = profile.objectives.map(({ label }) => label);
    for (const [i, { sameTime }] of profile.objectives.entries())
      for (const label of sameTime ? [sameTime.as, sameTime.pace] : []) expect(labels.slice(0, i)).toContain(label);
  });
});

test('a part of a study has the rows that its objectives depend on', () => {
  const { full } = profiles.glyphs as (typeof profiles)[string];
  const labels = (...names: string[]) => rowsOf(full, names).map(({ label }) => label);
  expect(labels('trades', 'standard')).toEqual([LABELS.standard, 'TRADES']);
  expect(labels('jacobian')).toEqual([LABELS.jacobian, LABELS.jsigr]);
  expect(labels('pgd-at')).toEqual([LABELS.jsigr, LABELS.adversarial, LABELS.equalTime]);
  expect(
    rowsOf(
      full,
      full.objectives.map(({ objective }) => objective),
    ),
  ).toEqual(full.objectives);
});

test('a quick study chooses nothing', () => {
  for (const { quick } of Object.values(profiles)) expect(quick.choice).toBeUndefined();
});

test('a full study attacks with AutoAttack, as published', () => {
  for (const { full } of Object.values(profiles)) expect(full.attack).toBe('autoattack');
});
