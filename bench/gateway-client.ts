import {
  type CreateEvaluationRequest,
  type CreateTrainingRunRequest,
  DatasetServiceClient,
  EvaluationServiceClient,
  type RobustnessReport,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, JsigrError, serverStream, unary } from '@jsigr/service/client';

const FAILED: readonly RunState[] = [RunState.RUN_STATE_FAILED, RunState.RUN_STATE_CANCELLED];

/** What a study asks of a gateway. The request ids make it resumable: what has run already is not run again. */
export class StudyClient {
  readonly #training: TrainingServiceClient;
  readonly #evaluations: EvaluationServiceClient;
  readonly #datasets: DatasetServiceClient;
  readonly #log: (line: string) => void;

  constructor(address: string, log: (line: string) => void) {
    this.#training = connect(TrainingServiceClient, address);
    this.#evaluations = connect(EvaluationServiceClient, address);
    this.#datasets = connect(DatasetServiceClient, address);
    this.#log = log;
  }

  close(): void {
    for (const client of [this.#training, this.#evaluations, this.#datasets]) client.close();
  }

  async importDataset(datasetId: string, format: string, directory: string): Promise<void> {
    try {
      await unary(this.#datasets, 'getDataset', { name: `datasets/${datasetId}` });
    } catch (error) {
      if (JsigrError.from(error).reason !== 'NOT_FOUND' && !/no dataset/.test(String(error))) throw error;
      await unary(this.#datasets, 'importDataset', { datasetId, format, directory });
    }
  }

  /** Trains to the end. @throws Error with the run's reason unless it succeeds */
  async train(label: string, request: CreateTrainingRunRequest): Promise<{ run: TrainingRun; events: RunEvent[] }> {
    const { name } = await unlessFailed(request, async (attempt) => {
      const { trainingRun } = await unary(this.#training, 'createTrainingRun', attempt);
      return trainingRun;
    });
    const events: RunEvent[] = [];
    for await (const { event } of serverStream(this.#training, 'watchTrainingRun', { name, afterSequence: 0 })) {
      if (!event) continue;
      events.push(event);
      const { payload } = event;
      if (payload?.$case === 'epochCompleted')
        this.#log(`${label}: epoch ${payload.value.epoch}, ${payload.value.seconds.toFixed(0)} s`);
    }
    const { trainingRun: run } = await unary(this.#training, 'getTrainingRun', { name });
    if (run?.state !== RunState.RUN_STATE_SUCCEEDED)
      throw new Error(`${label} (${name}): ${run?.state} ${run?.stateReason}`);
    return { run, events };
  }

  async evaluate(label: string, request: CreateEvaluationRequest): Promise<RobustnessReport> {
    const { name } = await unlessFailed(request, async (attempt) => {
      const { evaluation } = await unary(this.#evaluations, 'createEvaluation', attempt);
      return evaluation;
    });
    this.#log(`${label}: ${name}`);
    for await (const _ of serverStream(this.#evaluations, 'watchEvaluation', { name, afterSequence: 0 })) {
      // the stream ends when the evaluation has
    }
    const { evaluation } = await unary(this.#evaluations, 'getEvaluation', { name });
    if (!evaluation?.report) throw new Error(`${label} (${name}): ${evaluation?.state} ${evaluation?.stateReason}`);
    return evaluation.report;
  }
}

/** What this request made before, unless that did not succeed: then a new one. */
async function unlessFailed<Request extends { readonly requestId: string }, Run extends { readonly state: RunState }>(
  request: Request,
  create: (request: Request) => Promise<Run | undefined>,
): Promise<Run> {
  for (let attempt = 1; ; attempt++) {
    const requestId = attempt === 1 ? request.requestId : `${request.requestId}-${attempt}`;
    const run = await create({ ...request, requestId });
    if (run && !FAILED.includes(run.state)) return run;
  }
}
