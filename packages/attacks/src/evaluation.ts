import type { Engine } from '@jsigr/engine';
import { argmax, isQueried } from '@jsigr/models';
import { piecesOf } from './batches.ts';
import { type Beyond, lookBeyond, partsBeyond } from './beyond.ts';
import { type CellResult, type PlannedCell, sum } from './cells.ts';
import { deadGradients } from './dead-gradients.ts';
import { AttackError } from './errors.ts';
import { BATCH_SIZE, checkedPlan, type EvaluationOptions } from './evaluation-options.ts';
import { fingerprintOf } from './fingerprint.ts';
import { flagsOf } from './flags.ts';
import { logitsOfSamples } from './judge.ts';
import type { Cell, Ledger, Unit } from './ledger.ts';
import { assessMasking, type MaskingAssessment } from './masking.ts';
import type { PlannedAttack } from './plan.ts';
import { flatShare, looksLikeProbabilities, recovered } from './probabilities.ts';
import { type EvaluationReport, reportOf } from './report.ts';
import { runAttack } from './runner.ts';
import { sourceOf } from './source.ts';
import { type Resolved, type UnitMeans, Work } from './work.ts';

/**
 * Attacks a classifier by a plan. Every attack meets every sample that the target classifies correctly, whatever other attacks achieved (unless the
 * plan is a cascade). An attack's epsilons are taken in ascending order, and a larger one is tried only where the smaller ones failed: an example in a
 * smaller ball lies in the larger one too, so robust accuracy never rises with epsilon, by construction. Epsilon 0 is the clean image and is not attacked.
 * @returns the report, and beside it the ledger (a row for each attempt) and what was found of single samples beyond the plan.
 * @throws AttackError if the plan or the samples are not valid, or the ledger to resume from is another evaluation's; the signal's reason once it is aborted.
 */
export async function evaluate(
  engine: Engine,
  options: EvaluationOptions,
): Promise<{ readonly report: EvaluationReport; readonly ledger: Ledger; readonly beyond: Beyond }> {
  const batchSize = options.batchSize ?? BATCH_SIZE;
  const plan = checkedPlan(options, batchSize);
  const cells = plan.flatMap((planned) => planned.epsilons.map((epsilon): PlannedCell => ({ planned, epsilon })));
  const fingerprint = fingerprintOf(engine, options, batchSize, plan);
  if (options.assessMasking && isQueried(options.target))
    throw new AttackError(
      'NO_GRADIENTS',
      'assessMasking',
      `masked gradients are looked for by gradients, and ${options.target.id} is a black box: ${options.target.blackBox}`,
    );
  const { resume } = options;
  if (resume && resume.fingerprint !== fingerprint)
    throw new AttackError(
      'LEDGER_MISMATCH',
      'resume',
      'the ledger is that of another model, dataset, plan, loss, seed or engine',
    );
  const blocks = piecesOf(options.indices, batchSize);
  const clean = await classifyAll(engine, options, batchSize, blocks);
  const progress = new Work(
    { ...options, target: clean.target, batchSize },
    { fingerprint, seed: options.seed, cells: cells.map(cellOf), clean: clean.rows, units: resume?.units ?? [] },
  );
  const correct = blocks.map((block) => block.filter((sample) => clean.correct.has(sample)));
  const parts = cells.length + partsBeyond(options, plan);
  const results = await attackAll(engine, progress, cells, correct, parts);
  const beyond = await lookBeyond(engine, progress.options, plan, correct.flat(), { from: cells.length, parts });
  // The report of one shard says nothing: what is looked for besides, whoever puts them together looks for.
  const looks = options.assessMasking && !options.shard;
  const assessment = looks ? await assess(engine, progress.options, plan, correct.flat()) : undefined;
  const gradients = options.shard ? undefined : await deadGradients(engine, progress.options, plan, correct.flat());
  const sights = {
    gradients,
    labels: correct.flat().map((sample) => options.split.labels[sample] ?? 0),
    flatShare: clean.flatShare,
    lacksMasking: Boolean(looks && !assessment),
  };
  return {
    report: reportOf({
      ...options,
      batchSize,
      info: engine.info,
      flags: flagsOf(options, plan, sights, results),
      results,
      assessment,
      beyond,
      correct: clean.correct.size,
      looks: gradients?.looks ?? 0,
    }),
    ledger: progress.ledger,
    beyond,
  };
}

function cellOf({ planned: { attack, norm }, epsilon }: PlannedCell): Cell {
  return { attack: attack.name, norm: norm.name, epsilon };
}

/** Correctly classified samples on which masked gradients are looked for, at most. */
const MASKING_SAMPLES = 128;

function assess(
  engine: Engine,
  options: Resolved,
  plan: readonly PlannedAttack[],
  correct: readonly number[],
): Promise<MaskingAssessment | undefined> {
  // In a ball of radius 0 there is nothing to compare.
  const [first, ...others] = plan.filter(({ epsilons }) => Math.max(...epsilons) > 0);
  if (!first) return Promise.resolve(undefined);
  const { norm } = first;
  const radii = [first, ...others].filter((planned) => planned.norm === norm).flatMap(({ epsilons }) => epsilons);
  const indices = correct.slice(0, MASKING_SAMPLES);
  return assessMasking(engine, { ...options, indices, norm, epsilon: Math.max(...radii) });
}

async function classifyAll(
  engine: Engine,
  options: EvaluationOptions,
  batchSize: number,
  blocks: readonly (readonly number[])[],
) {
  const { target, split, seed, signal, resume } = options;
  const logits: Float32Array[] = [];
  for (const block of blocks)
    logits.push(
      ...(await logitsOfSamples(engine, target, split, block, { batchSize, seed, ...(signal && { signal }) })),
    );
  // What the ledger says of a sample stays: on another machine rounding could decide an even one otherwise.
  const known = new Map(resume?.clean.map(({ sample, prediction }) => [sample, prediction]));
  const rows = options.indices.map((sample, i) => ({
    sample,
    prediction: known.get(sample) ?? argmax(logits[i] ?? new Float32Array(1)),
    label: split.labels[sample] ?? 0,
  }));
  const givesProbabilities = looksLikeProbabilities(logits);
  return {
    rows,
    correct: new Set(rows.filter(({ prediction, label }) => prediction === label).map(({ sample }) => sample)),
    target: givesProbabilities ? recovered(target) : target,
    flatShare: givesProbabilities ? flatShare(logits) : undefined,
  };
}

async function attackAll(
  engine: Engine,
  work: Work,
  cells: readonly PlannedCell[],
  correct: readonly (readonly number[])[],
  parts: number,
): Promise<CellResult[]> {
  const results: CellResult[] = [];
  const isCorrect = new Set(correct.flat());
  for (const [index, cell] of cells.entries()) {
    const own = results.filter(({ planned }) => planned === cell.planned);
    const fooled = new Set(own.at(-1)?.fooled);
    const before = work.options.cascade ? fallenBefore(cell, results) : new Set<number>();
    const facing = correct.map((block) => block.filter((sample) => !fooled.has(sample) && !before.has(sample)));
    const units: Unit[] = [];
    const wanted: number[] = [];
    for (const [block, samples] of facing.entries()) {
      if (samples.length === 0 || cell.epsilon === 0 || !isOfShard(block, work.options)) continue;
      wanted.push(...samples);
      const unit = await work.unit(index, block, samples.length, (means) =>
        attackBlock(engine, work.options, cell, samples, means, { cell: index, cells: parts, facing, block }),
      );
      if (unit) units.push(unit);
    }
    for (const { success, sample } of units.flatMap(({ rows }) => rows))
      if (success && isCorrect.has(sample)) fooled.add(sample);
    const met = samplesOf(units);
    const cut = samplesOf(units.filter(({ short }) => short));
    const faced = sum(
      correct.map((block) => block.filter((sample) => !before.has(sample) || fooled.has(sample)).length),
    );
    results.push({
      ...cell,
      units,
      faced,
      unattempted: wanted.filter((sample) => !met.has(sample)).length,
      cutShort: wanted.filter((sample) => cut.has(sample) && !fooled.has(sample)).length,
      fooled,
      fallen: new Set([...before, ...fooled]),
    });
  }
  return results;
}

function samplesOf(units: readonly Unit[]): Set<number> {
  return new Set(units.flatMap(({ rows }) => rows.map(({ sample }) => sample)));
}

function isOfShard(block: number, { shard }: EvaluationOptions): boolean {
  return shard === undefined || block % shard.count === shard.index;
}

/** What fell to the attacks before, in the same ball or a smaller one. Controls are no attacks, and who is looked at makes a difference. */
function fallenBefore({ planned, epsilon }: PlannedCell, results: readonly CellResult[]): Set<number> {
  const earlier = results.filter(
    (result) =>
      result.planned !== planned &&
      result.planned.norm === planned.norm &&
      result.planned.source === planned.source &&
      result.planned.attack.access !== 'control' &&
      result.epsilon <= epsilon,
  );
  return new Set(earlier.flatMap(({ fooled }) => [...fooled]));
}

interface Place {
  readonly cell: number;
  readonly cells: number;
  readonly facing: readonly (readonly number[])[];
  readonly block: number;
}

function attackBlock(
  engine: Engine,
  { onExample, onProgress, ...options }: Resolved,
  { planned, epsilon }: PlannedCell,
  indices: readonly number[],
  means: UnitMeans,
  { cell, cells, facing, block }: Place,
): Promise<Unit['rows']> {
  const { attack, norm, settings } = planned;
  const place = { attack: attack.name, norm: norm.name, epsilon, cell, cells };
  const before = sum(facing.slice(0, block).map(({ length }) => length));
  const all = sum(facing.map(({ length }) => length));
  return runAttack({
    ...options,
    ...means,
    engine,
    ...sourceOf(planned.source, options),
    attack,
    settings,
    norm,
    epsilon,
    indices,
    ...(onExample && { onExample: (row, image) => onExample(row, image, settings) }),
    // Attempts of a block as a share of it, so that the whole is known beforehand.
    onProgress: (done, atMost) =>
      onProgress?.({
        ...place,
        attempts: before + (indices.length * done) / atMost,
        attemptsAtMost: all,
      }),
  });
}
