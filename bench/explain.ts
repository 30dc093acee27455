import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startGateway } from '@jsigr/gateway';
import {
  CreateTrainingRunRequest,
  ExplainRequest,
  ExplanationServiceClient,
  RunState,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, serverStream, unary } from '@jsigr/service/client';
import { median, milliseconds, quantile } from './statistics.ts';

const TIMES = 200;

/** An explanation as a client sees it, from zero workers and then warm: lenet, 28x28, method gradient, one request at a time. */
export async function benchExplanations(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'jsigr-bench-'));
  const gateway = await startGateway({ dataDirectory: join(directory, 'data'), grpcPort: 0, httpPort: null });
  const training = connect(TrainingServiceClient, { address: gateway.grpcAddress });
  const explanations = connect(ExplanationServiceClient, { address: gateway.grpcAddress });
  try {
    const spec = { dataset: 'datasets/glyphs', architecture: 'lenet', objective: 'standard', epochs: 1 };
    const created = await unary(training, 'createTrainingRun', CreateTrainingRunRequest.fromPartial({ spec }));
    const name = created.trainingRun?.name ?? '';
    let model = '';
    for await (const { event } of serverStream(training, 'watchTrainingRun', { name, afterSequence: 0 })) {
      if (event?.payload?.$case === 'checkpointSaved') model = event.payload.value.model;
      if (event?.payload?.$case === 'stateChanged' && event.payload.value.state === RunState.RUN_STATE_FAILED)
        throw new Error(event.payload.value.reason);
    }
    const explain = async (index: number) => {
      const sample = { dataset: 'datasets/glyphs', part: 'test', index };
      const image = { source: { $case: 'sample' as const, value: sample } };
      const request = ExplainRequest.fromPartial({ model, image, method: 'gradient', overlay: true });
      const started = performance.now();
      await unary(explanations, 'explain', request, { deadlineMs: 30_000 });
      return performance.now() - started;
    };
    const first = await explain(0);
    const times: number[] = [];
    for (let i = 1; i <= TIMES; i++) times.push(await explain(i));
    console.log('\nexplanations (lenet, 28x28, gradient, overlay included)');
    console.log(`  first, from zero workers   ${milliseconds(first)} (at most 3000)`);
    console.log(`  warm   p50 ${milliseconds(median(times))} (at most 50), p95 ${milliseconds(quantile(times, 0.95))}`);
  } finally {
    training.close();
    explanations.close();
    await gateway.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
