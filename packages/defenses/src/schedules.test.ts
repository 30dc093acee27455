import { describe, expect, it } from 'vitest';
import { findSchedule, listSchedules } from './schedules.ts';

describe('schedules', () => {
  // By hand: (1 + cos(pi t)) / 2 is 1, 3/4 at a third, 1/2 half way, 1/4 at two thirds.
  it.each([
    { name: 'constant', settings: {}, progress: [0, 0.5, 0.99], factors: [1, 1, 1] },
    { name: 'cosine', settings: {}, progress: [0, 1 / 3, 0.5, 2 / 3, 1], factors: [1, 0.75, 0.5, 0.25, 0] },
    { name: 'cosine', settings: { warmup: 0.2 }, progress: [0, 0.1, 0.2, 0.6, 1], factors: [0, 0.5, 1, 0.5, 0] },
    { name: 'step', settings: {}, progress: [0, 0.49, 0.5, 0.75, 1], factors: [1, 1, 0.1, 0.01, 0.01] },
    { name: 'step', settings: { milestones: [0.9], factor: 0.5 }, progress: [0.8, 0.9], factors: [1, 0.5] },
  ])('$name with $settings follows $factors', ({ name, settings, progress, factors }) => {
    const factor = findSchedule(name).bind(settings);
    for (const [index, at] of progress.entries()) expect(factor(at)).toBeCloseTo(factors[index] ?? Number.NaN, 12);
  });

  it('are named, and refuse other names and settings', () => {
    expect(listSchedules().map(({ name }) => name)).toEqual(['constant', 'cosine', 'step']);
    expect(() => findSchedule('linear')).toThrow('there is no schedule "linear"; known: constant, cosine, step');
    expect(() => findSchedule('step').parse({ factor: 2 })).toThrow(/^schedule.settings.factor: .*1/);
    expect(() => findSchedule('constant').parse({ warmup: 1 })).toThrow(/warmup/);
  });
});
