import { expect, it } from 'vitest';
import { disasterKinds, drawn, scheduleOf } from './schedule.ts';

it('is the same for the same seed, and another one for another', () => {
  expect(scheduleOf(7, 4, true)).toEqual(scheduleOf(7, 4, true));
  expect(scheduleOf(8, 4, true)).not.toEqual(scheduleOf(7, 4, true));
});

it('has everything within its time, in order, and something to disturb from the start', () => {
  const { disasters, actions } = scheduleOf(1, 4, true);
  for (const planned of [disasters, actions]) {
    const times = planned.map(({ atMs }) => atMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(Math.max(...times)).toBeLessThan(4000);
  }
  expect(actions.filter(({ kind, atMs }) => kind === 'create' && atMs === 0).length).toBe(2);
});

it('over 200 short seeds, half of them on PostgreSQL, has every kind of disaster many times', () => {
  const all = Array.from({ length: 200 }, (_, i) =>
    scheduleOf(i + 1, 4, i % 2 === 1).disasters.map(({ kind }) => kind),
  );
  for (const kind of disasterKinds) expect(all.flat().filter((each) => each === kind).length).toBeGreaterThan(10);
  // Without a server there is none to disturb.
  expect(all.filter((_, i) => i % 2 === 0).flat()).not.toContain('cutDatabase');
});

it('chooses by a draw', () => {
  expect([0, 0.5, 0.999].map((draw) => drawn(['a', 'b', 'c'], draw))).toEqual(['a', 'b', 'c']);
  expect(drawn([], 0.3)).toBeUndefined();
});
