/** A thread that makes the batches of a training run, in the order in which it is asked for them. */
import { parentPort, workerData } from 'node:worker_threads';
import { type BatchCompanions, type BatchOrder, type BatchRecipe, makeBatch } from './batches.ts';

/** With companions where they are others than those of the message before. */
export type BatchRequest = Pick<BatchOrder, 'indices' | 'epoch'> & { readonly companions?: BatchCompanions };

const recipe = workerData as BatchRecipe;
let companions: BatchCompanions = { maps: undefined, examples: undefined };

parentPort?.on('message', (request: BatchRequest) => {
  companions = request.companions ?? companions;
  const batch = makeBatch(recipe, { ...request, companions });
  const arrays = [batch.images, batch.labels, batch.oneHot, ...(batch.saliency ? [batch.saliency] : [])];
  parentPort?.postMessage(
    batch,
    arrays.map(({ data }) => data.buffer as ArrayBuffer),
  );
});
