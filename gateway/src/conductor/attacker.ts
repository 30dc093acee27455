import {
  AttackerServiceClient,
  type ComputeTransferMatrixRequest,
  type ComputeTransferMatrixResponse,
  type EvaluateRequest,
  type EvaluateResponse,
  type FollowRunRequest,
} from '@jsigr/proto';
import { connect, serverStream } from '@jsigr/service';
import { explained, lossOf } from '../workers/far-side.ts';
import type { Worker } from '../workers/pool.ts';

/** Has the attacker follow a run until the run has ended and its last checkpoint was reported. @throws JsigrError; the signal's reason. */
export async function followRun(
  worker: Worker,
  request: FollowRunRequest,
  signal: AbortSignal,
  onReported: () => void,
): Promise<void> {
  await calling(worker, signal, async (client, both) => {
    for await (const _ of serverStream(client, 'followRun', request, { signal: both })) onReported();
  });
}

/** Has the attacker evaluate a model; `take` sees each message. @throws JsigrError; the signal's reason. */
export async function evaluate(
  worker: Worker,
  request: EvaluateRequest,
  take: (response: EvaluateResponse) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await calling(worker, signal, async (client, both) => {
    for await (const response of serverStream(client, 'evaluate', request, { signal: both })) await take(response);
  });
}

/** Has the attacker compute a transfer matrix; `take` sees each message. @throws JsigrError; the signal's reason. */
export async function transferMatrix(
  worker: Worker,
  request: ComputeTransferMatrixRequest,
  take: (response: ComputeTransferMatrixResponse) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await calling(worker, signal, async (client, both) => {
    const responses = serverStream(client, 'computeTransferMatrix', request, { signal: both });
    for await (const response of responses) await take(response);
  });
}

async function calling(
  worker: Worker,
  signal: AbortSignal,
  call: (client: AttackerServiceClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const client = connect(AttackerServiceClient, worker);
  const lost = lossOf(worker);
  try {
    await call(client, AbortSignal.any([signal, lost]));
  } catch (error) {
    signal.throwIfAborted();
    throw await explained(error, lost);
  } finally {
    client.close();
  }
}
