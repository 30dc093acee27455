import * as z from 'zod';
import { findByName, parseSettings } from './errors.ts';

/** Factor of the learning rate, from how much of the training is done (0 before the first step, towards 1 at the last). */
export type ScheduleFactor = (progress: number) => number;

export interface Schedule {
  readonly name: string;
  readonly summary: string;
  readonly settings: z.ZodObject;
  /** @throws TrainingError INVALID_SETTING */
  readonly parse: (settings: unknown, field?: string) => Readonly<Record<string, unknown>>;
  readonly bind: (settings: unknown, field?: string) => ScheduleFactor;
}

const warmup = z
  .number()
  .min(0)
  .max(1)
  .default(0)
  .describe('part of the training over which the rate grows linearly from 0, 0..1');

const SCHEDULES: readonly Schedule[] = [
  defineSchedule({
    name: 'constant',
    summary: 'the same learning rate throughout',
    settings: z.strictObject({}),
    bind: () => () => 1,
  }),
  defineSchedule({
    name: 'cosine',
    summary: 'half a cosine from the learning rate down to 0 (Loshchilov and Hutter 2017)',
    settings: z.strictObject({ warmup }),
    bind:
      ({ warmup }) =>
      (progress) =>
        progress < warmup ? progress / warmup : (1 + Math.cos(Math.PI * ((progress - warmup) / (1 - warmup)))) / 2,
  }),
  defineSchedule({
    name: 'step',
    summary: 'the learning rate is multiplied by `factor` at every milestone',
    settings: z.strictObject({
      milestones: z
        .array(z.number().min(0).max(1))
        .max(20)
        .default([0.5, 0.75])
        .describe('parts of the training after which the rate falls, each 0..1'),
      factor: z.number().positive().max(1).default(0.1).describe('what the rate is multiplied by, in (0, 1]'),
    }),
    bind:
      ({ milestones, factor }) =>
      (progress) =>
        factor ** milestones.filter((milestone) => progress >= milestone).length,
  }),
];

export function listSchedules(): readonly Schedule[] {
  return SCHEDULES;
}

/** @throws TrainingError UNKNOWN_SCHEDULE, listing the known names. */
export function findSchedule(name: string): Schedule {
  return findByName(SCHEDULES, name, 'schedule');
}

function defineSchedule<Schema extends z.ZodObject>(definition: {
  readonly name: string;
  readonly summary: string;
  readonly settings: Schema;
  readonly bind: (settings: z.output<Schema>) => ScheduleFactor;
}): Schedule {
  const { name, summary, settings: schema } = definition;
  const parse = (settings: unknown, field = 'schedule.settings') => parseSettings(schema, settings, field);
  return { name, summary, settings: schema, parse, bind: (settings, field) => definition.bind(parse(settings, field)) };
}
