import type { LedgerRow } from '@jsigr/attacks';
import { expect, test } from 'vitest';
import { ExampleKeeper } from './examples.ts';

const pgd = { attack: 'pgd', norm: 'linf' as const, epsilons: [0.2, 0.1] };
const plan = [pgd];

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
    for (const sample of [0, 1, 2]) keeper.add(row(sample, epsilon, 0, false), Float32Array.of(sample, epsilon), {});
  expect(keeper.all().map((example) => [example.row.epsilon, example.row.sample])).toEqual([
    [0.1, 0],
    [0.1, 1],
    [0.2, 0],
    [0.2, 1],
  ]);
});

test('the last attempt counts: the runner stops at the one that succeeds', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  keeper.add(row(0, 0.1, 0, false), Float32Array.of(1), {});
  keeper.add(row(0, 0.1, 1, true), Float32Array.of(2), {});
  expect(keeper.all().map(({ row, image }) => [row.success, image[0]])).toContainEqual([true, 2]);
});

test('an example in a smaller ball stands for the larger one, where the sample is not attacked again', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  keeper.add(row(0, 0.1, 0, true), Float32Array.of(5), {});
  expect(keeper.all().map(({ row, image }) => [row.epsilon, image[0]])).toEqual([
    [0.1, 5],
    [0.2, 5],
  ]);
});

test('images are copied, other attacks and other samples left out', () => {
  const keeper = new ExampleKeeper(plan, [1]);
  const memory = Float32Array.of(1);
  keeper.add(row(0, 0.1, 0, false), memory, {});
  keeper.add(row(0, 0.1, 0, false, 'fgsm'), Float32Array.of(7), {});
  keeper.add(row(1, 0.1, 0, false), Float32Array.of(8), {});
  memory[0] = 9;
  expect(keeper.all().map(({ image }) => image[0])).toEqual([1, 1]);
});

test('the same attack with other settings has examples of its own, told by what is not at its default', () => {
  const two = [pgd, { ...pgd, settings: { steps: 5 } }];
  const keeper = new ExampleKeeper(two, [1, 1]);
  // As the runner gives them: with all defaults filled in.
  keeper.add(row(0, 0.1, 0, false), Float32Array.of(1), { steps: 20, restarts: 1 });
  keeper.add(row(0, 0.1, 0, true), Float32Array.of(2), { steps: 5, restarts: 1 });
  keeper.add(row(0, 0.1, 0, true), Float32Array.of(3), { steps: 6 });
  const restored = new ExampleKeeper(two, [1, 1]);
  restored.restore(keeper.save());
  for (const each of [keeper, restored])
    expect(each.all().map(({ row, settings, image }) => [row.epsilon, settings, image[0]])).toEqual([
      [0.1, {}, 1],
      [0.2, {}, 1],
      [0.1, { steps: '5' }, 2],
      [0.2, { steps: '5' }, 2],
    ]);
});

test('what the plan says of no attack is told by its place', () => {
  const wrong = [pgd, { ...pgd, settings: { steps: 0 } }];
  expect(() => new ExampleKeeper(wrong, [0, 1])).toThrow(/^plan\[1\]\.settings\.steps: /);
});
