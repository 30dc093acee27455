import {
  type Dataset,
  type EvaluateResponse,
  EvaluationSpec,
  type Model,
  RobustnessReport,
  RunState,
} from '@jsigr/proto';
import { unavailable } from '@jsigr/service';
import { needsSurrogates } from '../application/evaluation-plan.ts';
import { digestOf } from '../application/models.ts';
import { idOf } from '../application/names.ts';
import type { StoredRun } from '../store/runs.ts';
import { withWorker } from '../workers/pool.ts';
import { evaluate } from './attacker.ts';
import { Journal } from './journal.ts';
import type { Means } from './means.ts';
import { reportCommand } from './report-command.ts';
import type { Slots } from './slots.ts';
import type { Surrogates } from './surrogates.ts';

export interface EvaluationMeans extends Means {
  readonly surrogates: Surrogates;
  /** Surrogates that must be trained take a place among the training runs. */
  readonly trainingSlots: Slots;
}

/** Conducts an evaluation from QUEUED to SUCCEEDED. @throws what went wrong, for the caller to end the run with; the signal's reason. */
export async function conductEvaluation(run: StoredRun, means: EvaluationMeans, signal: AbortSignal): Promise<void> {
  const name = `evaluations/${run.id}`;
  const journal = new Journal(means.runs, run.id, means.logger);
  const { model: modelName, dataset: datasetName, plan } = EvaluationSpec.fromJSON(run.spec);
  await journal.starting('waiting for the dataset');
  const model = await means.models.byName(modelName);
  const dataset = await means.datasets.byId(idOf('datasets', datasetName));
  const surrogateDigests = plan ? await surrogatesOf({ model, dataset, plan }, journal, means, signal) : [];
  await journal.starting('waiting for an attacker');
  await withWorker(means.pool, 'attacker', { run: name, threads: means.threads.attacker, signal }, async (worker) => {
    await journal.worker('attacker', worker.address, 'started');
    await journal.running();
    let report: RobustnessReport | undefined;
    const take = async ({ message }: EvaluateResponse) => {
      if (message?.$case === 'report') report = message.value;
      if (message?.$case === 'progress') await journal.add({ $case: 'evaluationProgress', value: message.value });
    };
    const request = {
      modelDigest: digestOf(model),
      datasetDigest: dataset.digest,
      surrogateDigests,
      plan,
      dataset: dataset.name,
    };
    await evaluate(worker, request, take, signal);
    if (!report || !plan) throw unavailable('NO_REPORT', 'the attacker ended without a report');
    const command = reportCommand({ model: model.name, dataset: dataset.name, plan, surrogates: report.surrogates });
    const complete = RobustnessReport.fromPartial({ ...report, command });
    await journal.add({ $case: 'robustnessReported', value: complete }, { report: RobustnessReport.toJSON(complete) });
    await journal.ended(RunState.RUN_STATE_SUCCEEDED, `attacked ${report.cleanAccuracy?.trials ?? 0} samples`);
  });
}

interface Attacked {
  readonly model: Model;
  readonly dataset: Dataset;
  readonly plan: NonNullable<EvaluationSpec['plan']>;
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
