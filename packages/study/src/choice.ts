import { holdOut } from '@jsigr/datasets';
import { craftedBy } from './crafted.ts';
import { measure } from './measure.ts';
import { allOf } from './outcomes.ts';
import type { Ball, Profile, Recipe, StudyObjective } from './profile.ts';
import type { Robustness, RunSpec, TransferRecord } from './record.ts';
import type { Samples, StudyContext } from './study-context.ts';
import { HELD_OUT, type TrainedRun, trainRun } from './training.ts';
import { cleanOutcomes, TRANSFER_RECIPE, transferredTo } from './transfer.ts';

/** What became of one candidate. */
export interface Trial {
  readonly recipe: Recipe;
  /** Held-out accuracy without attack, 0..1. */
  readonly clean: number;
  /** Held-out accuracy under the examples of every source, at the largest radius of the main ball. */
  readonly transferred: number;
  readonly chosen: boolean;
  /** Why its training broke down before it had any weights: then nothing is right, and another one is chosen. */
  readonly brokeDown?: string;
}

/** Clean accuracies that differ by no more count as equal, in shares. */
export const EQUAL_CLEAN = 0.003;

type Judged = Omit<Trial, 'chosen'>;

/**
 * Tries the recipes of an objective on held-out training images and takes one: see `bestWithin` and, for a row that is to have the clean accuracy of
 * another one, `bestAt`. One recipe is taken as it is, and tried only where another row has to match it. Test images decide nothing.
 */
export async function choose(
  context: StudyContext,
  row: StudyObjective,
  sources: readonly TrainedRun[],
): Promise<{ readonly recipe: Recipe; readonly trials: readonly Trial[] }> {
  const { choice, objectives } = context.profile;
  if (!choice || !isTried(context.profile, row)) return { recipe: row.recipes[0], trials: [] };
  const judged = await judgedOf(context, row, sources);
  const matched = objectives.find(({ label }) => label === row.cleanOf);
  const best = matched
    ? bestAt(bestWithin(able(await judgedOf(context, matched, sources)), choice.tolerance).clean, able(judged))
    : bestWithin(able(judged), choice.tolerance);
  return { recipe: best.recipe, trials: judged.map((trial) => ({ ...trial, chosen: trial === best })) };
}

/** Whether there is anything to choose for a row, or for another one that is to have its clean accuracy. */
export function isTried({ choice, objectives }: Profile, { label, recipes }: StudyObjective): boolean {
  return choice !== undefined && (recipes.length > 1 || objectives.some(({ cleanOf }) => cleanOf === label));
}

/** Those that can be chosen: all, where all broke down. */
function able(trials: readonly Judged[]): readonly Judged[] {
  const whole = trials.filter(({ brokeDown }) => brokeDown === undefined);
  return whole.length > 0 ? whole : trials;
}

/** The best transferred robust accuracy among the trials whose clean accuracy is within the tolerance of the best. */
export function bestWithin(trials: readonly Judged[], tolerance: number): Judged {
  const least = Math.max(...trials.map(({ clean }) => clean)) - tolerance;
  return bestOf(trials.filter(({ clean }) => clean >= least));
}

/** The best transferred robust accuracy among the trials of equal clean accuracy; where there is none, among those that come nearest to it. */
export function bestAt(clean: number, trials: readonly Judged[]): Judged {
  const distance = (trial: Judged) => Math.abs(trial.clean - clean);
  const most = Math.max(EQUAL_CLEAN, Math.min(...trials.map(distance))) + 1e-9;
  return bestOf(trials.filter((trial) => distance(trial) <= most));
}

function bestOf(trials: readonly Judged[]): Judged {
  return trials.reduce((one, other) => (other.transferred > one.transferred ? other : one));
}

/** Of every recipe of a row. What is in the store is not tried again. */
async function judgedOf(
  context: StudyContext,
  row: StudyObjective,
  sources: readonly TrainedRun[],
): Promise<readonly Judged[]> {
  const judged: Judged[] = [];
  for (const [i, recipe] of row.recipes.entries()) {
    const trial = await tried(context, row, i, sources);
    if ('brokeDown' in trial) {
      judged.push({ recipe, clean: 0, transferred: 0, ...trial });
      continue;
    }
    const { clean, sources: under } = trial;
    const robust = allOf(Object.values(under).flatMap((cells) => cells.map((cell) => cell.robust)));
    judged.push({ recipe, clean: clean.yes / clean.total, transferred: robust.yes / robust.total });
  }
  return judged;
}

/** A candidate under the examples of the sources of other architectures, on images that it was not trained on; or why it has no weights. */
export async function tried(
  context: StudyContext,
  row: StudyObjective,
  candidate: number,
  sources: readonly TrainedRun[],
): Promise<TransferRecord | { readonly brokeDown: string }> {
  const { profile, log } = context;
  const { choice } = profile;
  const recipe = row.recipes[candidate];
  if (!choice || !recipe) throw new Error(`the row ${row.label} has no candidate ${candidate + 1}`);
  const spec: RunSpec = {
    id: `choice-${idOf(row.label)}-${candidate + 1}`,
    label: row.label,
    architecture: choice.architecture,
    objective: row.objective,
    settings: recipe.settings,
    noise: recipe.noise ?? 0,
    epochs: choice.epochs,
    seed: choice.seed,
  };
  const { record, weights, model } = await trainRun(context, spec);
  if (!weights) {
    const brokeDown = record.training?.value.ended ?? '';
    log(`${spec.id}: broke down: ${brokeDown}`);
    return { brokeDown };
  }
  const largest = largestOf(profile);
  const others = sources.filter((source) => source.record.spec.architecture !== spec.architecture);
  const samples = heldOutSamples(context, spec.seed);
  const parts = [others.map(({ weights }) => weights), largest, samples.indices, TRANSFER_RECIPE];
  return measure(context, record, 'transfer', parts, async () => {
    const target = await model();
    const found: [string, readonly Robustness[]][] = [];
    for (const source of others) {
      const crafted = await craftedBy(context, source, samples, [largest]);
      found.push([source.record.spec.architecture, await transferredTo(context, target, samples, crafted)]);
    }
    log(`${spec.id}: tried`);
    return { clean: await cleanOutcomes(context, target, samples), sources: Object.fromEntries(found) };
  });
}

/** The largest radius of the main ball: what choices are made at. */
export function largestOf({ balls: [ball] }: Profile): Ball {
  return { ...ball, epsilons: ball.epsilons.slice(-1) };
}

export function heldOutSamples({ profile, dataset }: StudyContext, seed: number): Samples {
  const { held } = holdOut(dataset.train, HELD_OUT, seed);
  return { split: dataset.train, indices: [...held.subarray(0, profile.choice?.samples ?? 0)] };
}

export function idOf(label: string): string {
  return label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
