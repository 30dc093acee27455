import { expect, test } from 'vitest';
import { LABELS } from './profile.ts';
import { profiles } from './profiles.ts';
import { nameOfUnit, planOf } from './units.ts';

const all = Object.values(profiles).flatMap(({ full, quick }) => [full, quick]);

test.each(all)('the plan of $name has every unit once, each after those that it needs', (profile) => {
  const plan = planOf(profile);
  const names = plan.map(({ unit }) => nameOfUnit(unit));
  expect(new Set(names).size).toBe(names.length);
  plan.forEach(({ after }, i) => {
    for (const unit of after) expect(names.indexOf(nameOfUnit(unit))).toBeLessThan(i);
    for (const unit of after) expect(names).toContain(nameOfUnit(unit));
  });
  const { architectures, objectives, seeds } = profile;
  expect(plan.filter(({ unit }) => unit.kind === 'run')).toHaveLength(
    architectures.length * objectives.length * seeds.length,
  );
});

test('a study that is interrupted has what the claims compare first', () => {
  const { full } = profiles['cifar-subset'] as (typeof profiles)[string];
  const runs = planOf({ ...full, architectures: ['resnet8'], seeds: [1] }).flatMap(({ unit }) =>
    unit.kind === 'run' ? unit.label : [],
  );
  expect(runs.slice(0, 3)).toEqual([LABELS.jsigr, LABELS.adversarial, LABELS.equalTime]);
});
