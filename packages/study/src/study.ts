import type { Classifier } from '@jsigr/models';
import { choose, idOf, type Trial } from './choice.ts';
import { corrupt, corruptionNotes } from './corruption.ts';
import { explain, STABLE_SHARE } from './explanation.ts';
import { measure } from './measure.ts';
import type { StudyObjective } from './profile.ts';
import type { RunRecord, RunSpec } from './record.ts';
import { type StudyContext, testSamples } from './study-context.ts';
import { secondsPerEpoch, type TrainedRun, trainRun, WeightsChanged } from './training.ts';
import {
  type Crafted,
  cleanOutcomes,
  craftExamples,
  craftPlain,
  PLAIN_ATTACK,
  TRANSFER_RECIPE,
  transferredTo,
} from './transfer.ts';
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
  const sources: TrainedRun[] = [];
  for (const [i, architecture] of profile.sources.entries()) {
    log(`source ${architecture}`);
    sources.push(await trainRun(context, sourceSpec(context, architecture, SOURCE_SEED + i)));
  }
  const trials: Record<string, readonly Trial[]> = {};
  const rows = new Map<string, StudyObjective['recipes'][0]>();
  for (const row of profile.objectives) {
    const { recipe, trials: tried } = await choose(context, row, sources);
    rows.set(row.label, recipe);
    if (tried.length > 0) trials[row.label] = tried;
  }
  const runs: TrainedRun[] = [];
  const crafted = craftedOnce(context);
  const count = profile.architectures.length * profile.seeds.length * profile.objectives.length;
  // Seed by seed, and all of a model at once: what is interrupted is a smaller study, and weights are not needed again.
  for (const seed of profile.seeds)
    for (const architecture of profile.architectures) {
      const done = new Map<string, RunRecord>();
      for (const row of profile.objectives) {
        const recipe = rows.get(row.sameTime?.pace ?? row.label) ?? row.recipes[0];
        const spec = specOf(context, row, recipe, { architecture, seed, done });
        log(`${runs.length + 1}/${count} ${spec.id}`);
        const run = await trainRun(context, spec);
        done.set(row.label, run.record);
        runs.push(run);
        if (!run.weights) continue;
        await measureAlone(context, run, sources);
        await measureTransfer(context, run, sources, crafted);
      }
    }
  const records = await Promise.all(runs.map(({ record }) => context.store.read(record.spec)));
  return { runs: records, trials, maskShare: maskShareOf(context) };
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
  { profile }: StudyContext,
  row: StudyObjective,
  { settings, noise = 0 }: StudyObjective['recipes'][0],
  { architecture, seed, done }: { architecture: string; seed: number; done: ReadonlyMap<string, RunRecord> },
): RunSpec {
  const id = `${architecture}-${idOf(row.label)}-${seed}`;
  const epochs = row.sameTime ? epochsInTime(profile.epochs, row.sameTime, done) : profile.epochs;
  const { label, objective } = row;
  const fitting = settingsIn(epochs, settings, profile.epochs);
  return { id, label, architecture, objective, settings: fitting, noise, epochs, seed };
}

/** The radius grows over the same part of a shorter training; the last epoch has all of it. */
export function settingsIn(epochs: number, settings: RunSpec['settings'], whole: number): RunSpec['settings'] {
  const warmup = Number(settings.epsilonWarmupEpochs ?? 0);
  if (warmup === 0) return settings;
  return { ...settings, epsilonWarmupEpochs: Math.min((warmup * epochs) / whole, epochs - 1) };
}

/**
 * How many epochs at one row's pace take as long as another row's whole training did, at least one. A training that broke down before its
 * first epoch took no time that could be matched, and one that was to set the pace sets none: then it is all of them.
 */
export function epochsInTime(
  epochs: number,
  { as, pace }: NonNullable<StudyObjective['sameTime']>,
  done: ReadonlyMap<string, RunRecord>,
): number {
  const [whole, each] = [done.get(as)?.training?.value, done.get(pace)?.training?.value];
  if (!whole || !each) throw new Error(`the rows ${as} and ${pace} must come before the one at equal time`);
  const [taken, pacing] = [secondsPerEpoch(whole), secondsPerEpoch(each)];
  if (taken === undefined) return 1;
  if (pacing === undefined) return epochs;
  return Math.min(epochs, Math.max(1, Math.round((taken * epochs) / pacing)));
}

/** What needs nothing but the model, and the surrogates that the look for masked gradients compares with. */
async function measureAlone(context: StudyContext, { record, model }: TrainedRun, sources: readonly TrainedRun[]) {
  const { profile } = context;
  const { attacked, transferred, explained } = profile.samples;
  const surrogates = sources.filter((source) => source.record.spec.architecture !== record.spec.architecture);
  const weights = surrogates.map((source) => source.weights);
  await measure(context, record, 'whiteBox', [profile.attack, profile.balls, attacked, weights], async () =>
    attackWhiteBox(context, await model(), await classifiersOf(surrogates)),
  );
  await measure(context, record, 'corruption', [transferred, corruptionNotes], async () =>
    corrupt(context, await model()),
  );
  await measure(
    context,
    record,
    'explanation',
    [profile.methods, profile.balls[0], explained, STABLE_SHARE],
    async () => explain(context, await model()),
  );
}

/** One after another: each may have to be trained again. */
async function classifiersOf(runs: readonly TrainedRun[]): Promise<Classifier[]> {
  const classifiers: Classifier[] = [];
  for (const { model } of runs) classifiers.push((await model()).classifier);
  return classifiers;
}

/** The transferred examples of a source, made when they are first asked for. */
type CraftedBy = (source: TrainedRun) => Promise<Crafted[]>;

function craftedOnce(context: StudyContext): CraftedBy {
  const samples = testSamples(context, context.profile.samples.transferred);
  const made = new Map<TrainedRun, Promise<Crafted[]>>();
  return (source) => {
    const known = made.get(source);
    if (known) return known;
    context.log(`adversarial examples of ${source.record.spec.architecture}`);
    const crafted = source
      .model()
      .then(async (model) => [
        ...(await craftExamples(context, model, samples)),
        ...(await craftPlain(context, model, samples)),
      ]);
    made.set(source, crafted);
    return crafted;
  };
}

/** Every model is shown the same examples. */
async function measureTransfer(
  context: StudyContext,
  { record, model }: TrainedRun,
  sources: readonly TrainedRun[],
  crafted: CraftedBy,
) {
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
        await transferredTo(context, target, samples, await crafted(source)),
      ] as const);
    return { clean: await cleanOutcomes(context, target, samples), sources: Object.fromEntries(found) };
  });
}
