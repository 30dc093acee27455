import { expect, test } from 'vitest';
import { deferred } from '../deferred.ts';
import { Slots } from './slots.ts';

const never = new AbortController().signal;

test('so many at once, the others in the order in which they came', async () => {
  const slots = new Slots(2);
  const begun: number[] = [];
  const gates = Array.from({ length: 5 }, () => deferred<void>());
  const begins = gates.map(() => deferred<void>());
  const works = gates.map(({ promise }, i) =>
    slots.during(never, async () => {
      begun.push(i);
      begins[i]?.resolve();
      await promise;
    }),
  );
  await begins[1]?.promise;
  expect(begun).toEqual([0, 1]);
  gates[1]?.resolve();
  await begins[2]?.promise;
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of gates) resolve();
  await Promise.all(works);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

test('who gives up waiting takes no place, and work that fails gives its place back', async () => {
  const slots = new Slots(1);
  const gate = deferred<void>();
  const first = slots.during(never, () => gate.promise);
  const controller = new AbortController();
  const second = slots.during(controller.signal, async () => expect.fail('it was given up'));
  const third = slots.during(never, () => Promise.reject(new Error('broken')));
  controller.abort(new Error('given up'));
  await expect(second).rejects.toThrow('given up');
  gate.resolve();
  await first;
  await expect(third).rejects.toThrow('broken');
  expect(await slots.during(never, async () => 'free')).toBe('free');
});
