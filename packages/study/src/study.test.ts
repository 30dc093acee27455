import { expect, test } from 'vitest';
import type { RunRecord } from './record.ts';
import { epochsInTime, settingsIn } from './study.ts';

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
      engine: 'e',
    },
  },
  measures: {},
});

const rows = { as: 'J-SIGR', pace: 'PGD-AT-7' };
const epochs = (ours: RunRecord, pace: RunRecord) =>
  epochsInTime(
    10,
    rows,
    new Map([
      ['J-SIGR', ours],
      ['PGD-AT-7', pace],
    ]),
  );

test('at equal time a slower objective gets fewer epochs, at least one, and none more than the study', () => {
  expect(epochs(trained(3, 5), trained(10, 10))).toBe(4);
  expect(epochs(trained(1), trained(100))).toBe(1);
  expect(epochs(trained(9), trained(1))).toBe(10);
  expect(() => epochsInTime(10, rows, new Map())).toThrow('must come before');
});

test('at equal time with a training that broke down before its first epoch there is still a number of epochs', () => {
  expect(epochs(trained(), trained())).toBe(1);
  expect(epochs(trained(), trained(10))).toBe(1);
  expect(epochs(trained(3), trained())).toBe(10);
});

test('a shorter training warms up over the same part of it, and never in its last epoch', () => {
  const settings = { epsilon: 0.3, epsilonWarmupEpochs: 5 };
  expect(settingsIn(10, settings, 10)).toEqual(settings);
  expect(settingsIn(4, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 2 });
  expect(settingsIn(1, settings, 10)).toEqual({ epsilon: 0.3, epsilonWarmupEpochs: 0 });
  expect(settingsIn(1, { steps: 7 }, 10)).toEqual({ steps: 7 });
});
