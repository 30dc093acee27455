import { type ComputeTransferMatrixResponse, EvaluationSpec, RunState, TransferMatrix } from '@jsigr/proto';
import { invalidArgument, unavailable } from '@jsigr/service';
import { digestOf } from '../application/models.ts';
import { idOf } from '../application/names.ts';
import { runName, type StoredRun } from '../store/run-rows.ts';
import { withWorker } from '../workers/pool.ts';
import { transferMatrix as compareBy } from './attacker.ts';
import { withRetries } from './attempts.ts';
import type { Journal } from './journal.ts';
import type { Means } from './means.ts';
import { matrixCommand } from './report-command.ts';

/**
 * Conducts an evaluation of several models from QUEUED to SUCCEEDED; when its attacker is lost it begins again.
 * @throws what went wrong; the signal's reason.
 */
export async function conductMatrix(
  run: StoredRun,
  journal: Journal,
  means: Means,
  runSignal: AbortSignal,
): Promise<void> {
  const { models: names, dataset: datasetName, plan } = EvaluationSpec.fromJSON(run.spec);
  if (!plan) throw invalidArgument('spec.plan', 'is missing');
  const signal = AbortSignal.any([runSignal, means.closing]);
  const end = ({ samples }: TransferMatrix) =>
    journal.ended(
      RunState.RUN_STATE_SUCCEEDED,
      `showed the examples of ${names.length} models to each other, ${samples} samples`,
    );
  await withRetries(run, journal, means, runSignal, async ({ summary }) => {
    await journal.starting('waiting for the dataset');
    // Its matrix was written, and its end was not.
    if (summary.transferMatrix) {
      await journal.running();
      return end(TransferMatrix.fromJSON(summary.transferMatrix));
    }
    const models = await Promise.all(names.map((each) => means.models.byName(each)));
    const dataset = await means.datasets.byId(idOf('datasets', datasetName));
    const request = { modelDigests: models.map(digestOf), datasetDigest: dataset.digest, plan, dataset: dataset.name };
    await journal.starting('waiting for an attacker');
    const acquiring = { run: runName(run), threads: means.threads.attacker, signal };
    await withWorker(means.pool, 'attacker', acquiring, async (worker) => {
      await journal.claim(worker, await means.nextToken());
      await journal.worker('attacker', worker.address, 'started');
      await journal.running();
      let matrix: TransferMatrix | undefined;
      const take = async ({ message }: ComputeTransferMatrixResponse) => {
        if (message?.$case === 'matrix') matrix = message.value;
        if (message?.$case === 'progress') await journal.add({ $case: 'evaluationProgress', value: message.value });
      };
      await compareBy(worker, request, take, signal);
      if (!matrix) throw unavailable('NO_REPORT', 'the attacker ended without a matrix');
      const command = matrixCommand({ models: matrix.models, dataset: dataset.name, plan });
      const complete = TransferMatrix.fromPartial({ ...matrix, command });
      const transferMatrix = TransferMatrix.toJSON(complete);
      await journal.add({ $case: 'transferMatrixReported', value: complete }, { transferMatrix });
      await end(complete);
    });
  });
}
