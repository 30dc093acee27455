import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  attack,
  augmentation,
  certification,
  integer,
  number,
  numbers,
  port,
  rawFile,
  resource,
  sample,
  setting,
} from './options.ts';

describe('numbers of the command line', () => {
  it.each([
    ['0.1', 0.1],
    ['8/255', 8 / 255],
    ['-1', -1],
    ['1e-3', 0.001],
    ['.5', 0.5],
    ['3.', 3],
  ])('%s is %d', (text, value) => expect(number(text)).toBe(value));

  it.each(['', ' ', 'x', '1/2/3', '1/', '/2', '0x10', 'NaN', 'Infinity', '1/0', '1e999', '1,2'])(
    '"%s" is refused',
    (text) => expect(() => number(text)).toThrow(InvalidArgumentError),
  );

  it('a list of them is separated by commas', () => expect(numbers('0.1,2/255')).toEqual([0.1, 2 / 255]));

  it.each(['0', '-1', '1.5', '4294967296', '1e3', ''])('"%s" is no whole number from 1 on', (text) =>
    expect(() => integer(1)(text)).toThrow('1..4294967295'),
  );

  it('the largest seed is 2^32-1', () => expect(integer(0)('4294967295')).toBe(0xffff_ffff));

  it.each(['65536', '-1', 'http', ''])('"%s" is no port', (text) => expect(() => port(text)).toThrow('0..65535'));
});

describe('attacks of the command line', () => {
  const plain = { norm: '', epsilons: [], settings: {}, keepExamples: 0 };

  it.each([
    ['pgd', { ...plain, attack: 'pgd' }],
    ['pgd:0.1,0.2', { ...plain, attack: 'pgd', epsilons: [0.1, 0.2] }],
    ['mi-fgsm@l2:0.5', { ...plain, attack: 'mi-fgsm', norm: 'l2', epsilons: [0.5] }],
    ['pgd:steps=40', { ...plain, attack: 'pgd', settings: { steps: '40' } }],
    [
      'pgd:8/255:steps=40,restarts=5',
      { ...plain, attack: 'pgd', epsilons: [8 / 255], settings: { steps: '40', restarts: '5' } },
    ],
  ])('%s', (text, plan) => expect(attack(text)).toEqual(plan));

  it.each(['', ':0.1', 'PGD', 'pgd:', 'pgd:x', 'pgd:0.1:0.2', 'pgd:a=1:b=2', 'pgd@', 'pgd:=1'])(
    '"%s" is refused',
    (text) => expect(() => attack(text)).toThrow(InvalidArgumentError),
  );
});

describe('other values of the command line', () => {
  it('settings add up, and a value may hold an equals sign', () =>
    expect(setting('b=x=y', setting('a=1'))).toEqual({ a: '1', b: 'x=y' }));

  it.each(['a', '=1', ''])('"%s" is no setting', (text) => expect(() => setting(text)).toThrow('key=value'));

  it.each([
    ['flip', { cropPadding: 0, flip: true, noise: 0, cutout: 0 }],
    ['crop=2,flip,cutout=8', { cropPadding: 2, flip: true, noise: 0, cutout: 8 }],
    ['noise=8/255', { cropPadding: 0, flip: false, noise: 8 / 255, cutout: 0 }],
  ])('augmentation %s', (text, spec) => expect(augmentation(text)).toEqual(spec));

  it.each(['crop', 'crop=9', 'rotate', ''])('"%s" is no augmentation', (text) =>
    expect(() => augmentation(text)).toThrow('crop=PIXELS (0..8), flip, noise=SIZE'),
  );

  it.each([
    ['glyphs:12', { dataset: 'datasets/glyphs', part: 'test', index: 12 }],
    ['mnist/train:0', { dataset: 'datasets/mnist', part: 'train', index: 0 }],
    ['datasets/mnist:3', { dataset: 'datasets/mnist', part: 'test', index: 3 }],
  ])('sample %s', (text, value) => expect(sample(text)).toEqual(value));

  it.each(['glyphs', 'glyphs:', 'glyphs:-1', 'glyphs/dev:1', ':1'])('"%s" is no sample', (text) =>
    expect(() => sample(text)).toThrow('DATASET:INDEX'),
  );

  it('raw maps are .json or .f32', () => {
    expect(rawFile('a.b.f32')).toBe('a.b.f32');
    expect(() => rawFile('map.png')).toThrow('.json nor in .f32');
  });

  it('people may leave the collection out of a name', () => {
    expect(resource('datasets', 'glyphs')).toBe('datasets/glyphs');
    expect(resource('trainingRuns', 'evaluations/7')).toBe('evaluations/7');
  });
});

describe('what is to be certified', () => {
  it('is the noise, and what differs from the defaults', () => {
    expect(certification('0.25')).toEqual({ sigma: 0.25, samples: 0, draws: 0, alpha: 0 });
    expect(certification('64/255:samples=500,draws=1000,alpha=0.01')).toEqual({
      ...{ sigma: 64 / 255, samples: 500, draws: 1000, alpha: 0.01 },
    });
  });

  it.each(['', '0.25:steps=3', '0.25:samples=x', '0.25:samples=1:draws=2', 'much'])('"%s" is refused', (text) => {
    expect(() => certification(text)).toThrow();
  });
});
