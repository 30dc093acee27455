import type { Tensor } from '@tensorflow/tfjs-core';
import type * as z from 'zod';
import { parseSettings } from '../errors.ts';

/**
 * Added to gradients before they are summed up over the steps. Where a weight has no gradient any more (of a dead unit, of a pixel that is always black) such sums shrink by a factor
 * in every step, down to numbers below 1e-38, with which processors compute a hundred times as slowly: a third of the time of whole trainings. Its square is still above that, and
 * with Adam's defaults it moves a weight by 1e-13 in a step, which is lost in rounding unless the weight is that small itself.
 */
export const LEAST_GRADIENT = 1e-18;

/** An optimiser with its settings. */
export interface BoundOptimizer {
  /** The learning rate that the schedule multiplies. */
  readonly learningRate: number;
  /** Names of the state arrays of every parameter, all zeros at first. */
  readonly slots: readonly string[];
  /** Scalars of a step, computed in double precision outside the graph: `step` counts from 1. */
  readonly scalars: (learningRate: number, step: number) => Readonly<Record<string, number>>;
  /** Traced: one parameter's next value and state. */
  readonly update: (inputs: UpdateInputs) => Update;
}

export interface UpdateInputs {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly state: Readonly<Record<string, Tensor>>;
  readonly scalars: Readonly<Record<string, Tensor>>;
}

export interface Update {
  readonly parameter: Tensor;
  readonly state: Readonly<Record<string, Tensor>>;
}

/** An optimiser as a row of the registry. */
export interface Optimizer {
  readonly name: string;
  readonly summary: string;
  readonly settings: z.ZodObject;
  /** @throws TrainingError INVALID_SETTING */
  readonly parse: (settings: unknown, field?: string) => Readonly<Record<string, unknown>>;
  readonly bind: (settings: unknown, field?: string) => BoundOptimizer;
}

interface Definition<Schema extends z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  readonly settings: Schema;
  readonly bind: (settings: z.output<Schema>) => BoundOptimizer;
}

export function defineOptimizer<Schema extends z.ZodObject>(definition: Definition<Schema>): Optimizer {
  const { name, summary, settings: schema } = definition;
  const parse = (settings: unknown, field = 'optimizer.settings') => parseSettings(schema, settings, field);
  return { name, summary, settings: schema, parse, bind: (settings, field) => definition.bind(parse(settings, field)) };
}
