import type { LedgerRow } from '@jsigr/attacks';
import { expect, test } from 'vitest';
import { ExampleKeeper } from './examples.ts';

const plan = [{ attack: 'pgd', norm: 'linf' as const, epsilons: [0.2, 0.1] }];

function row(sample: number, epsilon: number, attempt: number, success: boolean, attack = 'pgd'): LedgerRow {
  return {
    sample,
    attack,
    norm: 'linf',
    epsilon,
    seed: 0,
    attempt,
    forwards: 1,
    backwards: 1,
    loss: 0,
    distance: epsilon,
    labelBefore: 0,
    labelAfter: success ? 1 : 0,
    success,
  };
}

test('the first few samples are kept at each epsilon, ascending', () => {
  const keeper = new ExampleKeeper(plan, [2]);
  for (const epsilon of [0.1, 0.2])
    for (const sample of [0, 1, 2]) keeper.add(row(sample, epsilon, 0, false), Float32Array.of(sample, epsilon));
  expect(keeper.all().map((example) => [example.row.epsilon, example.row.sample])).toEqual([
    [0.1, 0],
    [0.1, 1],
    [0.2, 0],
    [0.2, 1],
  ]);
});

test('the last attempt counts: the runner stops at the one that succeeds', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  keeper.add(row(0, 0.1, 0, false), Float32Array.of(1));
  keeper.add(row(0, 0.1, 1, true), Float32Array.of(2));
  expect(keeper.all().map(({ row, image }) => [row.success, image[0]])).toContainEqual([true, 2]);
});

test('an example in a smaller ball stands for the larger one, where the sample is not attacked again', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  keeper.add(row(0, 0.1, 0, true), Float32Array.of(5));
  expect(keeper.all().map(({ row, image }) => [row.epsilon, image[0]])).toEqual([
    [0.1, 5],
    [0.2, 5],
  ]);
});

test('images are copied, other attacks and other samples left out', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  const memory = Float32Array.of(1);
  keeper.add(row(0, 0.1, 0, false), memory);
  keeper.add(row(0, 0.1, 0, false, 'fgsm'), Float32Array.of(7));
  keeper.add(row(1, 0.1, 0, false), Float32Array.of(8));
  memory[0] = 9;
  expect(keeper.all().map(({ image }) => image[0])).toEqual([1, 1]);
});
