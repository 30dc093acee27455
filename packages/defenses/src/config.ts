import { findArchitecture, IMPORTED_ARCHITECTURE, MAX_SEED, modelSpecSchema } from '@jsigr/models';
import * as z from 'zod';
import { parseSettings } from './errors.ts';
import type { BoundObjective } from './objectives/objective.ts';
import { findObjective } from './objectives/registry.ts';
import { averaged } from './optimizers/averaged.ts';
import type { BoundOptimizer } from './optimizers/optimizer.ts';
import { findOptimizer } from './optimizers/registry.ts';
import { findSchedule, type ScheduleFactor } from './schedules.ts';
import { techniquesSchema } from './techniques.ts';

const named = (name: string, description: string) =>
  z
    .strictObject({ name: z.string().default(name), settings: z.record(z.string(), z.json()).default({}) })
    .prefault({})
    .describe(description);

/** A training run as data. Names are looked up in the registries, whose rows describe the settings. */
export const trainingConfigSchema = z.strictObject({
  architecture: z
    .string()
    .default('lenet')
    .describe(
      `name of an architecture of the zoo, or ${IMPORTED_ARCHITECTURE}: the network of the imported model that training begins with`,
    ),
  activation: modelSpecSchema.shape.activation,
  norm: modelSpecSchema.shape.norm,
  denoise: z
    .boolean()
    .optional()
    .describe('feature-denoising blocks after every stage of a residual network; off by default'),
  objective: named('jsigr', 'what is minimised'),
  optimizer: named('adam', 'how it is minimised'),
  schedule: named('constant', 'how the learning rate changes'),
  epochs: z.int().min(1).max(10_000).default(10).describe('passes over the training images, 1..10000'),
  steps: z
    .int()
    .min(1)
    .max(100_000_000)
    .optional()
    .describe('optimiser steps, 1..100000000; where given it replaces `epochs`, and training may end within an epoch'),
  batchSize: z
    .int()
    .min(1)
    .max(4096)
    .default(64)
    .describe('images a step, 1..4096; what an epoch leaves over is dropped, another part of the images every epoch'),
  seed: z.int().min(0).max(MAX_SEED).default(0).describe('0..4294967295; equal seeds and engines give equal weights'),
  augmentation: z
    .strictObject({
      cropPadding: z.int().min(0).max(8).default(0).describe('random shifts by up to so many pixels, 0..8'),
      flip: z.boolean().default(false).describe('random left-right flips'),
      noise: z
        .number()
        .min(0)
        .max(1)
        .default(0)
        .describe('uniform noise of up to so much on every pixel, then clipped to [0,1]; 0..1'),
      cutout: z
        .int()
        .min(0)
        .max(64)
        .default(0)
        .describe('side of a square that is set to 0 at a random place (DeVries and Taylor 2017), 0..64; 0: off'),
    })
    .prefault({}),
  techniques: techniquesSchema.prefault({}),
  heldOutFraction: z
    .number()
    .min(0)
    .max(0.5)
    .default(0.05)
    .describe('part of the training images kept for the held-out accuracy, 0..0.5; the test images are never touched'),
  checkpointEveryEpochs: z
    .int()
    .min(1)
    .max(10_000)
    .default(1)
    .describe('epochs between checkpoints, 1..10000; there is always one at the end'),
});

export type TrainingConfig = z.input<typeof trainingConfigSchema>;
/** With all defaults written out, those of the objective, optimiser and schedule included. */
export type ResolvedTrainingConfig = z.output<typeof trainingConfigSchema>;

/** A configuration and what its names stand for. */
export interface TrainingPlan {
  readonly config: ResolvedTrainingConfig;
  readonly objective: BoundObjective;
  readonly optimizer: BoundOptimizer;
  readonly schedule: ScheduleFactor;
}

/** @throws TrainingError or ModelError naming the field and its limits, or listing the known names. */
export function planTraining(input: TrainingConfig): TrainingPlan {
  const config = parseSettings(trainingConfigSchema, input, '');
  if (config.architecture !== IMPORTED_ARCHITECTURE) findArchitecture(config.architecture);
  const objective = findObjective(config.objective.name);
  const optimizer = findOptimizer(config.optimizer.name);
  const schedule = findSchedule(config.schedule.name);
  const complete = <Row extends { parse: (settings: unknown) => Readonly<Record<string, unknown>> }>(
    row: Row,
    { name, settings }: { name: string; settings: unknown },
  ) => ({ name, settings: row.parse(settings) as Record<string, z.core.util.JSONType> });
  return {
    config: {
      ...config,
      objective: complete(objective, config.objective),
      optimizer: complete(optimizer, config.optimizer),
      schedule: complete(schedule, config.schedule),
    },
    objective: objective.bind(config.objective.settings),
    optimizer: averaged(optimizer.bind(config.optimizer.settings), config.techniques.averageDecay),
    schedule: schedule.bind(config.schedule.settings),
  };
}
