import { expect, test } from 'vitest';
import type { RunRecord } from './record.ts';
import { settingsIn, stepsInTime } from './study.ts';
import { secondsPerEpoch } from './training.ts';

const trained = (...seconds: number[]): RunRecord => ({
  spec: { id: 'r', label: 'r', architecture: 'mlp', objective: 'o', settings: {}, noise: 0, epochs: 10, seed: 1 },
  training: {
    key: '',
    value: {
      epochs: seconds.map((each, i) => ({
        epoch: i + 1,
        seconds: each,
        maskSeconds: 0,
        trainLoss: 1,
        heldOutAccuracy: 0.5,
      })),
      ended: 'completed',
      weights: 'w',
      machine: 'm',
    },
  },
  measures: {},
});

const rows = { as: 'J-SIGR', pace: 'PGD-AT-7' };
/** Of 10 epochs of 30 steps each. */
const steps = (ours: RunRecord, pace: RunRecord) =>
  stepsInTime(
    300,
    rows,
    new Map([
      ['J-SIGR', ours],
      ['PGD-AT-7', pace],
    ]),
    30,
  );

test('at equal time an objective gets as many steps as fit, fewer or more than the study has, within an epoch too', () => {
  expect(steps(trained(3, 5), trained(10, 10))).toBe(120);
  // 10 epochs of 4 s are 5.71 epochs of 7 s, 171.4 steps
  expect(steps(trained(4), trained(7))).toBe(171);
  expect(steps(trained(1), trained(100))).toBe(3);
  expect(steps(trained(1), trained(1000))).toBe(1);
  expect(steps(trained(9), trained(6))).toBe(450);
  expect(() => stepsInTime(300, rows, new Map(), 30)).toThrow('must come before');
});

test('at equal time with a training that broke down before its first epoch there is still a number of steps', () => {
  expect(steps(trained(), trained())).toBe(30);
  expect(steps(trained(), trained(10))).toBe(30);
  expect(steps(trained(3), trained())).toBe(300);
});

test('an epoch that ended early counts for the part that was made', () => {
  const [whole, part] = trained(8, 2).training?.value.epochs ?? [];
  if (!whole || !part) return expect.fail();
  const value = { epochs: [whole, { ...part, share: 0.25 }], ended: 'completed', weights: 'w', machine: 'm' };
  expect(secondsPerEpoch(value)).toBe(8);
});

test('a training of another length warms up over the same part of it, and never in its last epoch', () => {
  const settings = { epsilon: 0.3, epsilonWarmupEpochs: 5 };
  expect(settingsIn(10, settings, 10)).toEqual(settings);
  expect(settingsIn(4, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 2 });
  expect(settingsIn(4.5, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 2.25 });
  expect(settingsIn(15, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 7.5 });
  expect(settingsIn(1.25, { ...settings, epsilonWarmupEpochs: 9 }, 10)).toMatchObject({ epsilonWarmupEpochs: 1 });
  expect(settingsIn(0.5, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 0 });
  expect(settingsIn(1, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 0 });
  expect(settingsIn(1, { steps: 7 }, 10)).toEqual({ steps: 7 });
});
