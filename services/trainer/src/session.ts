import {
  Feedback,
  type Metric,
  type ReportRobustnessRequest,
  RunState,
  type StartTrainingRequest,
  type StreamCheckpointsRequest,
} from '@jsigr/proto';
import { type ComputeThread, invalidArgument, JsigrError, type WorkerContext } from '@jsigr/service';
import { type Files, movable } from '@jsigr/service/compute';
import { Checkpoints, type SavedCheckpoint } from './checkpoints.ts';
import { trainingConfig } from './configuration.ts';
import { EventLog } from './event-log.ts';
import type { CheckpointMade, FixedNetworks, TrainEvent, TrainerMethods } from './methods.ts';
import { checkReport, isBetter, type Score, scoreOf } from './reports.ts';

export interface SessionOptions {
  readonly request: StartTrainingRequest;
  readonly dataset: Files;
  readonly networks: FixedNetworks;
  readonly thread: ComputeThread<TrainerMethods>;
  readonly context: WorkerContext;
  /** How long the end of training waits for a follower to come, and for one that is gone to come back, in milliseconds. */
  readonly attachMs?: number;
  readonly graceMs?: number;
}

/** One run from its first step to its outcome. */
export class Session {
  readonly run: string;
  readonly log = new EventLog();
  readonly #checkpoints: Checkpoints;
  readonly #options: SessionOptions;
  /** Checkpoints are stored one after another, in order; a store that fails ends the training. */
  #storing: Promise<void> = Promise.resolve();
  readonly #failed = new AbortController();
  #stopped = false;
  #best: (Score & { readonly model: string }) | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.run = options.request.run;
    this.#checkpoints = new Checkpoints({
      artefacts: options.context.artefacts,
      onSkipped: (skipped) => this.#tellSkipped(skipped),
    });
    void options.context.load.during(() => this.#train());
  }

  get ended(): boolean {
    return this.log.outcome !== undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#options.thread.call('stop', undefined);
  }

  streamCheckpoints(request: StreamCheckpointsRequest, signal: AbortSignal) {
    return this.#checkpoints.stream(request, signal);
  }

  /** The same report again changes nothing. @throws JsigrError INVALID_ARGUMENT for an unknown checkpoint or figures that cannot be. */
  report({ checkpointSequence, report }: ReportRobustnessRequest): void {
    const checkpoint = this.#checkpoints.find(checkpointSequence);
    if (!checkpoint)
      throw invalidArgument(
        'checkpointSequence',
        `${checkpointSequence} given, the run has checkpoints 1 to ${this.#checkpoints.latest?.sequence ?? 0}`,
      );
    if (!report) throw invalidArgument('report', 'is missing');
    const model = modelName(checkpoint);
    checkReport(report, model);
    if (this.#checkpoints.isReported(checkpointSequence)) return;
    this.log.append({ $case: 'robustnessReported', value: report });
    const score = scoreOf(report);
    const selects = this.#options.request.spec?.loop?.feedback === Feedback.FEEDBACK_SELECT;
    if (selects && score && isBetter(score, this.#best)) {
      this.#best = { ...score, model };
      const { norm, epsilon, robustAccuracy } = score;
      this.log.append({
        $case: 'checkpointSelected',
        value: { model, step: checkpoint.step, norm, epsilon, robustAccuracy },
      });
    }
    this.#checkpoints.markReported(checkpointSequence);
  }

  async #train(): Promise<void> {
    const { context, request, attachMs = 20_000, graceMs = 3000 } = this.#options;
    try {
      const { reason, step } = await this.#compute();
      await this.#storing;
      this.#checkpoints.complete();
      if (request.spec?.loop?.enabled && !this.#stopped)
        await this.#checkpoints.lastReport({ attachMs, graceMs, signal: context.signal });
      if (reason === 'completed') this.#end(RunState.RUN_STATE_SUCCEEDED, `trained ${step} steps`);
      else if (reason === 'stopped-early')
        this.#end(
          RunState.RUN_STATE_SUCCEEDED,
          `stopped early after step ${step}: held-out accuracy did not rise any more`,
        );
      else this.#end(RunState.RUN_STATE_CANCELLED, `stopped after step ${step}`);
    } catch (error) {
      const cause = this.#failed.signal.aborted ? this.#failed.signal.reason : error;
      this.#checkpoints.complete();
      if (context.signal.aborted) this.#end(RunState.RUN_STATE_CANCELLED, 'the trainer was told to stop');
      else this.#end(RunState.RUN_STATE_FAILED, failure(cause));
    }
  }

  #compute(): Promise<TrainerMethods['train']['result']> {
    const { thread, context, request, dataset, networks } = this.#options;
    const { run, spec, datasetDigest } = request;
    if (!spec) throw invalidArgument('spec', 'is missing');
    const { files, buffers } = movable(dataset);
    return thread.call(
      'train',
      { run, config: trainingConfig(spec), datasetDigest, dataset: files, networks, compute: context.compute },
      {
        signal: AbortSignal.any([context.signal, this.#failed.signal]),
        onEvent: (event) => this.#note(event),
        transfer: buffers,
      },
    );
  }

  /** Events keep their order: what comes after a checkpoint is told after it was stored. */
  #note(event: TrainEvent): void {
    this.#storing = this.#storing
      .then(() => (event.type === 'checkpoint' ? this.#save(event) : this.#tell(event)))
      .catch((error) => this.#failed.abort(error));
  }

  #tell(event: Exclude<TrainEvent, CheckpointMade>): void {
    const metrics = metricsOf(event.metrics);
    if (event.type === 'epoch') {
      const { epoch, seconds } = event;
      this.log.append({ $case: 'epochCompleted', value: { epoch, metrics, seconds } });
    } else {
      const { step, totalSteps, imagesPerSecond, secondsLeft } = event;
      this.log.append({
        $case: 'trainingProgress',
        value: { step, totalSteps, metrics, imagesPerSecond, secondsLeft },
      });
    }
  }

  async #save({ files, step, epoch, heldOutAccuracy }: CheckpointMade): Promise<void> {
    if (this.#failed.signal.aborted || this.#options.context.signal.aborted) return;
    const artefact = await this.#options.context.artefacts.put('models', files);
    this.log.append({
      $case: 'checkpointSaved',
      value: { model: `models/${artefact.digest}`, step, epoch, heldOutAccuracy },
    });
    this.#checkpoints.add({ step, epoch, artefact });
  }

  #tellSkipped(skipped: readonly SavedCheckpoint[]): void {
    const reason = 'the attacker was still busy with an earlier checkpoint';
    this.log.append({ $case: 'checkpointsSkipped', value: { models: skipped.map(modelName), reason } });
  }

  #end(state: RunState, reason: string): void {
    this.log.close({ state, reason, bestModel: this.#best?.model ?? '' });
  }
}

function modelName({ artefact }: SavedCheckpoint): string {
  return `models/${artefact.digest}`;
}

function metricsOf(metrics: Readonly<Record<string, number>>): Metric[] {
  return Object.entries(metrics).map(([name, value]) => ({ name, value }));
}

/** What happened and what to do next. */
function failure(error: unknown): string {
  const { reason, message, hint } = JsigrError.from(error);
  const advice: Record<string, string> = {
    NOT_FINITE: 'lower the learning rate or the weight of the penalty',
    DIVERGED: 'lower the learning rate or the weight of the penalty',
    COMPUTE_THREAD_DIED: 'a smaller batch or network needs less memory',
  };
  return [message, hint ?? advice[reason]].filter(Boolean).join('; ');
}
