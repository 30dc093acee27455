import { expect, test } from 'vitest';
import { ProgressMeter } from './progress.ts';

function step(number: number, loss: number) {
  return {
    type: 'step' as const,
    step: number,
    totalSteps: 100,
    epoch: 1,
    loss,
    terms: { crossEntropy: loss / 2, jacobian: loss / 2 },
    accuracy: 0.5,
    learningRate: 0.001,
    imagesPerSecond: 10,
    secondsLeft: 5,
  };
}

test('the first step is told at once, then a quarter of a second is gathered, and the last is always told', () => {
  const meter = new ProgressMeter();
  const times: [number, number][] = [
    [1, 0],
    [2, 100],
    [3, 200],
    [4, 250],
    [5, 300],
    [100, 310],
  ];
  expect(times.map(([number, now]) => meter.add(step(number, 1), now)?.step)).toEqual([
    1,
    undefined,
    undefined,
    4,
    undefined,
    100,
  ]);
});

test('metrics are means since the last event', () => {
  const meter = new ProgressMeter();
  meter.add(step(1, 9), 0);
  meter.add(step(2, 1), 10);
  meter.add(step(3, 2), 20);
  expect(meter.flush(30)?.metrics).toEqual({
    loss: 1.5,
    crossEntropy: 0.75,
    jacobian: 0.75,
    accuracy: 0.5,
    learning_rate: 0.001,
  });
  expect(meter.flush(40)).toBeUndefined();
});
