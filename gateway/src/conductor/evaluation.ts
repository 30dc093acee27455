import {
  type Dataset,
  EvaluateRequest,
  EvaluationProgress,
  EvaluationSpec,
  type Model,
  RobustnessReport,
  RunState,
} from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service';
import { needsSurrogates } from '../application/evaluation-plan.ts';
import { digestOf } from '../application/models.ts';
import { idOf } from '../application/names.ts';
import { type RunPart, runName, type StoredRun } from '../store/run-rows.ts';
import { inWords } from '../workers/far-side.ts';
import type { Worker } from '../workers/pool.ts';
import { withRetries } from './attempts.ts';
import type { Journal } from './journal.ts';
import type { Means } from './means.ts';
import { reportCommand } from './report-command.ts';
import { attackInShards } from './shards.ts';
import type { Slots } from './slots.ts';
import type { Surrogates } from './surrogates.ts';

export interface EvaluationMeans extends Means {
  readonly surrogates: Surrogates;
  /** Surrogates that must be trained take a place among the training runs. */
  readonly trainingSlots: Slots;
}

/**
 * Conducts an evaluation from QUEUED to SUCCEEDED, over as many attackers as it takes.
 * @throws what went wrong, for the caller to end the run with; the signal's reason.
 */
export async function conductEvaluation(
  run: StoredRun,
  journal: Journal,
  means: EvaluationMeans,
  signal: AbortSignal,
): Promise<void> {
  const { model: modelName, dataset: datasetName, plan, shards } = EvaluationSpec.fromJSON(run.spec);
  if (!plan) throw invalidArgument('spec.plan', 'is missing');
  await withRetries(run, journal, means, signal, async (current) => {
    await journal.starting('waiting for the dataset');
    // Its report was written, and its end was not.
    if (current.summary.report) {
      await journal.running();
      return end(RobustnessReport.fromJSON(current.summary.report), journal);
    }
    const model = await means.models.byName(modelName);
    const dataset = await means.datasets.byId(idOf('datasets', datasetName));
    await attempt(current, { model, dataset, plan, count: shards || 1 }, journal, means, signal);
  });
}

async function attempt(
  run: StoredRun,
  attacked: Attacked,
  journal: Journal,
  means: EvaluationMeans,
  runSignal: AbortSignal,
): Promise<void> {
  // An attacker that is cut off has kept its ledger: there is nothing that it would have to hand back.
  const signal = AbortSignal.any([runSignal, means.closing]);
  const { model, dataset, plan, count } = attacked;
  const surrogateDigests = await surrogatesOf(attacked, journal, means, signal);
  await journal.starting('waiting for an attacker');
  const name = runName(run);
  const parts = await journal.parts();
  const threads = Math.max(1, Math.floor(means.threads.attacker / count));
  const report = await attackInShards({
    pool: means.pool,
    request: EvaluateRequest.fromPartial({
      modelDigest: digestOf(model),
      datasetDigest: dataset.digest,
      surrogateDigests,
      plan,
      dataset: dataset.name,
      run: name,
      resume: run.resumePoint,
    }),
    count,
    parts,
    wanted: { run: name, labels: run.labels, threads, onWaiting: journal.waiting('attacker') },
    onStarted: started(beginning(run, parts, count), journal, means),
    onLost: (error, index, goesOn) => {
      const how = goesOn ? 'goes on from its ledger' : 'begins again';
      return journal.replaced(`${inWords(error)}; shard ${index + 1} of ${count} ${how}, the others go on`);
    },
    retries: means.retries,
    onProgress: (value) =>
      journal.add({ $case: 'evaluationProgress', value }, { progress: EvaluationProgress.toJSON(value) }),
    onResumePoint: (point) => journal.keep(point),
    onPart: (index, part) => journal.keepPart(index, part),
    togetherMs: means.togetherMs,
    signal,
  });
  const command = reportCommand({ model: model.name, dataset: dataset.name, plan, surrogates: report.surrogates });
  const complete = RobustnessReport.fromPartial({ ...report, command });
  await journal.add({ $case: 'robustnessReported', value: complete }, { report: RobustnessReport.toJSON(complete) });
  await end(complete, journal);
}

function end({ cleanAccuracy }: RobustnessReport, journal: Journal): Promise<void> {
  return journal.ended(RunState.RUN_STATE_SUCCEEDED, `attacked ${cleanAccuracy?.trials ?? 0} samples`);
}

/** Writes down each attacker that begins, one after another. With the first one the run is claimed, for all of them, and runs. */
function started(from: string, journal: Journal, means: Means): (worker: Worker) => Promise<void> {
  let isFirst = true;
  let before = Promise.resolve();
  const note = async (worker: Worker) => {
    const begins = isFirst;
    isFirst = false;
    if (begins) await journal.claim(worker, await means.nextToken());
    await journal.worker('attacker', worker.address, 'started');
    if (begins) await journal.running(from);
  };
  return (worker) => {
    const noted = before.then(() => note(worker));
    before = noted.catch(() => undefined);
    return noted;
  };
}

/** From where it goes on, in words; empty: from its beginning. */
function beginning({ resumePoint }: StoredRun, parts: ReadonlyMap<number, RunPart>, count: number): string {
  if (count === 1) return resumePoint ? `goes on after ${resumePoint.step} units of work` : '';
  const done = [...parts.values()].filter(({ report }) => report !== undefined).length;
  return parts.size > 0 ? `goes on; ${done} of ${count} shards are done` : '';
}

interface Attacked {
  readonly model: Model;
  readonly dataset: Dataset;
  readonly plan: NonNullable<EvaluationSpec['plan']>;
  /** Attackers that share the samples. */
  readonly count: number;
}

async function surrogatesOf(
  { model, dataset, plan }: Attacked,
  journal: Journal,
  { models, surrogates, trainingSlots }: EvaluationMeans,
  signal: AbortSignal,
): Promise<string[]> {
  if (!needsSurrogates(plan)) return [];
  if (plan.surrogates.length > 0)
    return Promise.all(plan.surrogates.map(async (name) => digestOf(await models.byName(name))));
  await journal.starting('waiting for the surrogates');
  return trainingSlots.during(signal, () =>
    surrogates.ensure({
      dataset,
      target: model.architecture,
      signal,
      onTraining: (architecture, run) =>
        journal.starting(`training the surrogate ${architecture} (${run}), once for this dataset`),
    }),
  );
}
