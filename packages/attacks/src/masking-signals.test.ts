import { expect, test } from 'vitest';
import { type Measured, signalsOf } from './masking-signals.ts';

const nothing: Measured = {
  samples: 8,
  zeroGradients: 0,
  zeroMarginGradients: 0,
  notFinite: 0,
  blindGradients: 0,
  unsteady: 0,
  fgsm: 0.5,
  pgd: 0.5,
  pgdMargin: 0.5,
  pgdRestarts: 0.5,
  unbounded: 1,
  noise: 0,
  queriesAlone: 0,
  noiseAlone: 0,
  transferAlone: 0,
};
const verdicts = (change: Partial<Measured>) =>
  signalsOf({ ...nothing, ...change }).flatMap(({ name, verdict }) => (verdict === 'no_sign' ? [] : [[name, verdict]]));

test('one sample among few on which a weaker attack had luck is no sign, two are a suspicion, three are evident', () => {
  const found = [1, 2, 3].map((count) => verdicts({ queriesAlone: count / 8 }));
  expect(found).toEqual([[], [['black-box-beats-white-box', 'suspected']], [['black-box-beats-white-box', 'evident']]]);
});

test('among many samples the share decides', () => {
  expect(verdicts({ samples: 128, queriesAlone: 3 / 128 })).toEqual([]);
  expect(verdicts({ samples: 128, queriesAlone: 4 / 128 })).toEqual([['black-box-beats-white-box', 'suspected']]);
});

test('a gradient that is no number and a model that draws are seen at one sample', () => {
  expect(verdicts({ notFinite: 1 / 8, unsteady: 1 / 8 })).toEqual([
    ['non-finite-gradients', 'evident'],
    ['random-at-inference', 'suspected'],
  ]);
});
