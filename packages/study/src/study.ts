import { profilePlan } from '@jsigr/attacks';
import type { Classifier } from '@jsigr/models';
import { choose, heldOutSamples, idOf, largestOf, type Trial, tried } from './choice.ts';
import { corrupt, corruptionNotes } from './corruption.ts';
import { craftedBy, shownBy } from './crafted.ts';
import { explain, MOVED_BY, STABLE_SHARE } from './explanation.ts';
import { measure } from './measure.ts';
import type { StudyObjective } from './profile.ts';
import type { RunRecord, RunSpec } from './record.ts';
import { checkMaking, NotMade, type StudyContext, testSamples } from './study-context.ts';
import { secondsPerEpoch, stepsPerEpoch, type TrainedRun, trainRun, WeightsChanged } from './training.ts';
import { cleanOutcomes, PLAIN_ATTACK, TRANSFER_RECIPE, transferredTo } from './transfer.ts';
import type { StudyUnit } from './units.ts';
import { attackWhiteBox } from './white-box.ts';

/** All that the page is made from. */
export interface StudyResults {
  readonly runs: readonly RunRecord[];
  readonly trials: Readonly<Record<string, readonly Trial[]>>;
  /** Mean share of an explained image that its mask covers: what a map that knows nothing has inside it. */
  readonly maskShare: number | undefined;
}

/** Seeds of the sources: no model of the study has one of them. */
const SOURCE_SEED = 1001;

/**
 * Trains all models of a study, attacks and explains them. What is in the store is not made again, so that a study that was interrupted goes on.
 * @throws the signal's reason once it is aborted
 */
export async function runStudy(context: StudyContext): Promise<StudyResults> {
  for (;;)
    try {
      return await passOf(context);
    } catch (error) {
      // What depended on the old weights is found by its keys: all else stays as it is.
      if (!(error instanceof WeightsChanged)) throw error;
      context.log(error.message);
    }
}

async function passOf(context: StudyContext): Promise<StudyResults> {
  const { profile, log } = context;
  const sources = await sourcesOf(context);
  const trials: Record<string, readonly Trial[]> = {};
  for (const row of profile.objectives) {
    const { trials: tried = [] } = (await unlessMissing(context, choose(context, row, sources))) ?? {};
    if (tried.length > 0) trials[row.label] = tried;
  }
  const runs: RunRecord[] = [];
  const count = profile.architectures.length * profile.seeds.length * profile.objectives.length;
  // Seed by seed, and all of a model at once: what is interrupted is a smaller study, and weights are not needed again.
  for (const seed of profile.seeds)
    for (const architecture of profile.architectures)
      for (const row of profile.objectives) {
        if (!context.isReadOnly) log(`${runs.length + 1}/${count} ${architecture} ${row.label}, seed ${seed}`);
        const run = await unlessMissing(context, runOf(context, sources, row, { architecture, seed }));
        if (run) runs.push(run);
      }
  if (runs.length === 0) checkMaking(context, `any model of ${profile.name}`);
  if (runs.length < count) log(`${runs.length} of ${count} models are there`);
  return { runs, trials, maskShare: maskShareOf(context) };
}

/** What a reader finds; undefined for what is not made yet. */
async function unlessMissing<Value>({ log }: StudyContext, found: Promise<Value>): Promise<Value | undefined> {
  try {
    return await found;
  } catch (error) {
    if (!(error instanceof NotMade)) throw error;
    log(error.message);
    return undefined;
  }
}

/** One unit of the study; those that it needs were made before. @throws WeightsChanged if one of them has to be made again */
export async function makeUnit(context: StudyContext, unit: StudyUnit): Promise<void> {
  const { profile } = context;
  if (unit.kind === 'source') {
    const at = profile.sources.indexOf(unit.architecture);
    return makeSource(context, await trainRun(context, sourceSpec(context, unit.architecture, SOURCE_SEED + at)));
  }
  const sources = await sourcesOf(context);
  const row = profile.objectives.find(({ label }) => label === unit.label);
  if (!row) throw new Error(`the study ${profile.name} has no row "${unit.label}"`);
  if (unit.kind === 'trial') await tried(context, row, unit.candidate, sources);
  else await runOf(context, sources, row, unit);
}

async function sourcesOf(context: StudyContext): Promise<TrainedRun[]> {
  const sources: TrainedRun[] = [];
  for (const [i, architecture] of context.profile.sources.entries())
    sources.push(await trainRun(context, sourceSpec(context, architecture, SOURCE_SEED + i)));
  return sources;
}

/** Its weights, and the examples that all others are shown. */
async function makeSource(context: StudyContext, source: TrainedRun): Promise<void> {
  const { profile } = context;
  await source.model();
  await shownBy(context, source, testSamples(context, profile.samples.transferred));
  if (profile.choice && source.record.spec.architecture !== profile.choice.architecture)
    await craftedBy(context, source, heldOutSamples(context, profile.choice.seed), [largestOf(profile)]);
}

/** A model of the study with all its measurements. */
async function runOf(
  context: StudyContext,
  sources: readonly TrainedRun[],
  row: StudyObjective,
  { architecture, seed }: { readonly architecture: string; readonly seed: number },
): Promise<RunRecord> {
  const { profile, store } = context;
  const rowNamed = (label: string) => profile.objectives.find((each) => each.label === label) ?? row;
  const recipeOf = async (label: string) => (await choose(context, rowNamed(label), sources)).recipe;
  const recipe = await recipeOf(row.sameTime?.pace ?? row.label);
  const done = new Map<string, RunRecord>();
  for (const label of row.sameTime ? [row.sameTime.as, row.sameTime.pace] : []) {
    const other = specOf(context, rowNamed(label), await recipeOf(label), { architecture, seed, done });
    const record = await store.read(other);
    if (!record.training?.value.ended) checkMaking(context, other.id);
    done.set(label, record);
  }
  const run = await trainRun(context, specOf(context, row, recipe, { architecture, seed, done }));
  if (run.weights) {
    await measureAlone(context, run, sources);
    await measureTransfer(context, run, sources);
  }
  return store.read(run.record.spec);
}

function maskShareOf(context: StudyContext): number | undefined {
  const { split, indices } = testSamples(context, context.profile.samples.explained);
  if (!split.masks) return undefined;
  const pixels = split.masks.length / split.count;
  const masks = split.masks.subarray(0, indices.length * pixels);
  return masks.reduce<number>((sum, value) => sum + (value > 0 ? 1 : 0), 0) / masks.length;
}

function sourceSpec({ profile }: StudyContext, architecture: string, seed: number): RunSpec {
  const { epochs } = profile;
  const id = `source-${architecture}`;
  return { id, label: 'source', architecture, objective: 'standard', settings: {}, noise: 0, epochs, seed };
}

function specOf(
  context: StudyContext,
  row: StudyObjective,
  { settings, noise = 0 }: StudyObjective['recipes'][0],
  { architecture, seed, done }: { architecture: string; seed: number; done: ReadonlyMap<string, RunRecord> },
): RunSpec {
  const id = `${architecture}-${idOf(row.label)}-${seed}`;
  const { label, objective } = row;
  const { epochs } = context.profile;
  const same = { id, label, architecture, objective, noise, seed };
  if (!row.sameTime) return { ...same, settings, epochs };
  const whole = stepsPerEpoch(context);
  const steps = stepsInTime(epochs * whole, row.sameTime, done, whole);
  return { ...same, settings: settingsIn(steps / whole, settings, epochs), epochs: Math.ceil(steps / whole), steps };
}

/** The radius grows over the same part of a training of another length; the last epoch has all of it, so that a single one has no warm-up. */
export function settingsIn(epochs: number, settings: RunSpec['settings'], whole: number): RunSpec['settings'] {
  const warmup = Number(settings.epsilonWarmupEpochs ?? 0);
  if (warmup === 0) return settings;
  return { ...settings, epsilonWarmupEpochs: Math.min((warmup * epochs) / whole, Math.ceil(epochs) - 1) };
}

/**
 * How many steps at one row's pace fit into the time of another row's whole training, at least one. A training that broke down before its
 * first epoch took no time that could be matched: then it is one epoch. One that was to set the pace and did so sets none: then it is all of them.
 * @param steps of the whole training
 * @param perEpoch steps
 */
export function stepsInTime(
  steps: number,
  { as, pace }: NonNullable<StudyObjective['sameTime']>,
  done: ReadonlyMap<string, RunRecord>,
  perEpoch: number,
): number {
  const [whole, each] = [done.get(as)?.training?.value, done.get(pace)?.training?.value];
  if (!whole || !each) throw new Error(`the rows ${as} and ${pace} must come before the one at equal time`);
  const [taken, pacing] = [secondsPerEpoch(whole), secondsPerEpoch(each)];
  if (taken === undefined) return perEpoch;
  if (pacing === undefined) return steps;
  return Math.max(1, Math.floor((taken * steps) / pacing));
}

/** What needs nothing but the model, and the surrogates that the look for masked gradients compares with. */
async function measureAlone(context: StudyContext, { record, model }: TrainedRun, sources: readonly TrainedRun[]) {
  const { profile } = context;
  const { attacked, transferred, explained } = profile.samples;
  const everything = testSamples(context, Number.POSITIVE_INFINITY);
  await measure(context, record, 'clean', [everything.indices.length], async () =>
    cleanOutcomes(context, await model(), everything),
  );
  const surrogates = sources.filter((source) => source.record.spec.architecture !== record.spec.architecture);
  const weights = surrogates.map((source) => source.weights);
  const plan = profilePlan(profile.attack, []);
  await measure(context, record, 'whiteBox', [plan, profile.balls, attacked, weights], async () =>
    attackWhiteBox(context, await model(), await classifiersOf(surrogates)),
  );
  await measure(context, record, 'corruption', [transferred, corruptionNotes], async () =>
    corrupt(context, await model()),
  );
  await measure(
    context,
    record,
    'explanation',
    [profile.methods, profile.balls[0], explained, STABLE_SHARE, MOVED_BY],
    async () => explain(context, await model()),
  );
}

/** One after another: each may have to be trained again. */
async function classifiersOf(runs: readonly TrainedRun[]): Promise<Classifier[]> {
  const classifiers: Classifier[] = [];
  for (const { model } of runs) classifiers.push((await model()).classifier);
  return classifiers;
}

/** Every model is shown the same examples. */
async function measureTransfer(context: StudyContext, { record, model }: TrainedRun, sources: readonly TrainedRun[]) {
  const { profile } = context;
  const samples = testSamples(context, profile.samples.transferred);
  const parts = [
    sources.map(({ weights }) => weights),
    profile.balls,
    samples.indices.length,
    TRANSFER_RECIPE,
    PLAIN_ATTACK,
  ];
  await measure(context, record, 'transfer', parts, async () => {
    const target = await model();
    const found = [];
    for (const source of sources)
      found.push([
        source.record.spec.architecture,
        await transferredTo(context, target, samples, await shownBy(context, source, samples)),
      ] as const);
    return { clean: await cleanOutcomes(context, target, samples), sources: Object.fromEntries(found) };
  });
}
