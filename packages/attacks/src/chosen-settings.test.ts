import { expect, test } from 'vitest';
import { chosenSettings } from './chosen-settings.ts';
import { attackNamed } from './registry.ts';

test.each([
  ['pgd', {}, {}],
  ['pgd', { steps: 20, restarts: 5, keep: 'last' }, { restarts: '5', keep: 'last' }],
  ['square', { stretch: false }, { stretch: 'false' }],
  ['apgd', { loss: 'ce' }, {}],
  // A recipe is a name: it is told where it is the default too.
  ['transfer', {}, { recipe: 'mi+di+ti' }],
  ['transfer', { steps: 5, recipe: 'ni+si' }, { recipe: 'ni+si', steps: '5' }],
])('of %s %j, %j is told', (name, settings, told) => {
  expect(chosenSettings(attackNamed(name), settings)).toEqual(told);
});

test('what the attack does not know is refused by name', () => {
  expect(() => chosenSettings(attackNamed('pgd'), { stepz: 3 })).toThrow(/settings/);
});
