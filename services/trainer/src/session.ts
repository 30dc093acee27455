import {
  type Metric,
  type ReportRobustnessRequest,
  type RobustnessReport,
  RunState,
  type StartTrainingRequest,
  type StreamCheckpointsRequest,
  TrainingResume,
} from '@jsigr/proto';
import {
  type ComputeThread,
  failedPrecondition,
  inSpan,
  invalidArgument,
  JsigrError,
  keepingSpan,
  type Logger,
  type WorkerContext,
} from '@jsigr/service';
import { type Files, movable } from '@jsigr/service/compute';
import { Checkpoints, type SavedCheckpoint } from './checkpoints.ts';
import { selects, trainingConfig } from './configuration.ts';
import { EventLog } from './event-log.ts';
import { LoopFeedback } from './loop-feedback.ts';
import type { CheckpointMade, FixedNetworks, StateMade, TrainEvent, TrainerMethods } from './methods.ts';
import { checkReport, isBetter, type Score, scoreOf } from './reports.ts';

export interface SessionOptions {
  readonly request: StartTrainingRequest;
  readonly dataset: Files;
  readonly networks: FixedNetworks;
  /** The state to go on from. */
  readonly resume?: Files;
  readonly thread: ComputeThread<TrainerMethods>;
  readonly context: WorkerContext;
  /** How long the end of training waits for a follower to come, and for one that is gone to come back, in milliseconds. */
  readonly attachMs?: number;
  readonly graceMs?: number;
  /** How long handing back waits for whoever watches, in milliseconds. */
  readonly toldMs?: number;
}

const TOLD_MS = 1000;

/** One run from its first step to its outcome. */
export class Session {
  readonly run: string;
  readonly log = new EventLog();
  readonly #checkpoints: Checkpoints;
  readonly #options: SessionOptions;
  readonly #logger: Logger;
  /** Checkpoints are stored one after another, in order; a store that fails ends the training, and a slow one slows it down (see `TrainArgument.stored`). */
  #storing: Promise<void> = Promise.resolve();
  readonly #stored = new Int32Array(new SharedArrayBuffer(4));
  readonly #failed = new AbortController();
  readonly #feedback: LoopFeedback;
  /** Reports that are being taken, by the checkpoint's sequence number. */
  readonly #reporting = new Map<number, Promise<void>>();
  #stopped = false;
  #handingBack = false;
  #trained = false;
  #best: (Score & { readonly model: string }) | undefined;
  /** Steps of the newest state that was kept. */
  #kept: number;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.run = options.request.run;
    this.#logger = options.context.logger.child({ run: this.run });
    const resume = options.request.resume ?? TrainingResume.fromPartial({});
    const { point, checkpoints, selected, reportsSince, penaltyFactor, bestClean } = resume;
    this.#kept = point?.step ?? 0;
    this.#best = selected?.robustAccuracy && { ...selected, robustAccuracy: selected.robustAccuracy };
    this.#feedback = new LoopFeedback(options.request.spec?.loop, options.context.artefacts, options.thread, {
      checkpoint: options.resume,
      reportsSince,
      ...(penaltyFactor > 0 ? { control: { factor: penaltyFactor, bestClean } } : {}),
    });
    this.#checkpoints = new Checkpoints({
      artefacts: options.context.artefacts,
      earlier: checkpoints.flatMap(({ saved, settled }) =>
        saved ? [{ step: saved.step, epoch: saved.epoch, digest: digestOf(saved.model), settled }] : [],
      ),
      onSkipped: (skipped) => this.#tellSkipped(skipped),
    });
    void options.context.load.during(() => this.#traced());
  }

  get ended(): boolean {
    return this.log.outcome !== undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#options.thread.call('stop', undefined);
  }

  /** Ends with a state that another trainer goes on from; resolves once whoever watches knows, or after a second. */
  async handBack(): Promise<void> {
    if (this.#stopped || this.ended) return;
    this.#handingBack = true;
    this.#checkpoints.abandon();
    await this.#options.thread.call('pause', undefined);
    await this.log.told(this.#options.toldMs ?? TOLD_MS);
  }

  endFollowing(): void {
    this.#checkpoints.abandon();
  }

  streamCheckpoints(request: StreamCheckpointsRequest, signal: AbortSignal) {
    return this.#checkpoints.stream(request, signal);
  }

  /** The same report again changes nothing. @throws JsigrError INVALID_ARGUMENT for an unknown checkpoint or figures that cannot be; FAILED_PRECONDITION FENCED. */
  async report({ checkpointSequence, report, fencingToken }: ReportRobustnessRequest): Promise<void> {
    this.#options.context.signal.throwIfAborted();
    if (fencingToken !== this.#options.request.fencingToken)
      throw failedPrecondition(
        'FENCED',
        `the report is for the trainer with token ${fencingToken}; this one has ${this.#options.request.fencingToken}`,
        'follow the run anew',
      );
    const checkpoint = this.#checkpoints.find(checkpointSequence);
    if (!checkpoint)
      throw invalidArgument(
        'checkpointSequence',
        `${checkpointSequence} given, the run has checkpoints 1 to ${this.#checkpoints.latest?.sequence ?? 0}`,
      );
    if (!report) throw invalidArgument('report', 'is missing');
    const model = modelName(checkpoint);
    const { dataset, loop } = this.#options.request.spec ?? {};
    const { plan } = loop ?? {};
    checkReport(report, { model, ...(dataset ? { dataset } : {}), ...(plan ? { plan } : {}) });
    if (this.#checkpoints.isReported(checkpointSequence)) return;
    if (this.ended)
      throw failedPrecondition('RUN_FINISHED', `the training of ${this.run} has ended: the report comes too late`);
    const taken = this.#reporting.get(checkpointSequence) ?? this.#take(checkpoint, report);
    this.#reporting.set(checkpointSequence, taken);
    await taken.finally(() => this.#reporting.delete(checkpointSequence));
  }

  /** Once the training has ended there is nothing left to change. */
  async #take(checkpoint: SavedCheckpoint, report: RobustnessReport): Promise<void> {
    const { spec } = this.#options.request;
    const score = scoreOf(report);
    const better = spec && selects(spec) && score && isBetter(score, this.#best) ? score : undefined;
    const feedback = this.#trained ? undefined : await this.#feedback.take(report, better !== undefined);
    const model = modelName(checkpoint);
    this.log.append({ $case: 'robustnessReported', value: report });
    if (feedback) this.log.append({ $case: 'feedbackTaken', value: feedback });
    if (better) {
      this.#best = { ...better, model };
      const { norm, epsilon, robustAccuracy } = better;
      this.log.append({
        $case: 'checkpointSelected',
        value: { model, step: checkpoint.step, norm, epsilon, robustAccuracy },
      });
    }
    this.#checkpoints.markReported(checkpoint.sequence);
  }

  /** The training's span is a child of the call that began it, and goes on after that has ended. */
  #traced(): Promise<void> {
    const { spec, resume } = this.#options.request;
    const attributes = {
      'jsigr.run': this.run,
      'jsigr.objective': spec?.objective ?? '',
      'jsigr.architecture': spec?.architecture ?? '',
      'jsigr.dataset': spec?.dataset ?? '',
      'jsigr.resume.step': resume?.point?.step ?? 0,
    };
    return inSpan('train', { attributes }, async (span) => {
      this.#logger.info({ step: this.#kept }, 'the training begins');
      await this.#train();
      const { state = '', reason = '' } = this.log.outcome ?? {};
      this.#logger.info({ state }, reason);
      span.setAttributes({ 'jsigr.outcome': state, 'jsigr.outcome.reason': reason });
    });
  }

  async #train(): Promise<void> {
    const { context, request, attachMs = 20_000, graceMs = 20_000 } = this.#options;
    try {
      const { reason, step } = await this.#compute();
      const { stoppedAfter } = this.#feedback;
      this.#trained = true;
      await this.#storing;
      // Training may be over before its last checkpoint could not be stored.
      this.#failed.signal.throwIfAborted();
      this.#checkpoints.complete();
      if (request.spec?.loop?.enabled && !this.#stopped)
        await this.#checkpoints.lastReport({ attachMs, graceMs, signal: context.signal });
      if (reason === 'paused' || (this.#handingBack && this.#checkpoints.isOpen))
        this.#end(RunState.RUN_STATE_QUEUED, `handed back after step ${step}`);
      else if (reason === 'completed') this.#end(RunState.RUN_STATE_SUCCEEDED, `trained ${step} steps`);
      else if (reason === 'stopped-early') this.#end(RunState.RUN_STATE_SUCCEEDED, this.#whyEarly(step, stoppedAfter));
      else this.#end(RunState.RUN_STATE_CANCELLED, `stopped after step ${step}`);
    } catch (error) {
      // What breaks down keeps its last good checkpoint: it comes just before the error.
      await this.#storing;
      const cause = this.#failed.signal.aborted ? this.#failed.signal.reason : error;
      this.#checkpoints.complete();
      if (context.signal.aborted) this.#end(RunState.RUN_STATE_QUEUED, 'the trainer had to stop');
      else this.#end(RunState.RUN_STATE_FAILED, failure(cause), PASSING.includes(JsigrError.from(cause).reason));
    }
  }

  #compute(): Promise<TrainerMethods['train']['result']> {
    const { thread, context, request, dataset, networks, resume } = this.#options;
    const { run, spec, datasetDigest } = request;
    if (!spec) throw invalidArgument('spec', 'is missing');
    const { files, buffers } = movable(dataset);
    return thread.call(
      'train',
      {
        run,
        config: trainingConfig(spec),
        datasetDigest,
        dataset: files,
        networks,
        compute: context.compute,
        stateMs: context.stateMs,
        stored: this.#stored,
        feedback: this.#feedback.begun,
        ...(resume ? { resume } : {}),
      },
      {
        signal: AbortSignal.any([context.signal, this.#failed.signal]),
        onEvent: keepingSpan((event) => this.#note(event)),
        transfer: buffers,
      },
    );
  }

  /** Events keep their order: what comes after a checkpoint is told after it was stored. */
  #note(event: TrainEvent): void {
    this.#storing = this.#storing
      .then(() => {
        // A worker that lost its lease writes nothing more.
        if (this.#failed.signal.aborted || this.#options.context.signal.aborted) return undefined;
        if (event.type === 'checkpoint') return this.#save(event).finally(() => this.#goOn());
        if (event.type === 'state') return this.#keep(event).finally(() => this.#goOn());
        return this.#tell(event);
      })
      .catch((error) => this.#failed.abort(error));
  }

  #goOn(): void {
    Atomics.add(this.#stored, 0, 1);
    Atomics.notify(this.#stored, 0);
  }

  #tell(event: Exclude<TrainEvent, CheckpointMade | StateMade>): void {
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
    const attributes = { 'jsigr.run': this.run, 'jsigr.checkpoint.step': step, 'jsigr.checkpoint.epoch': epoch };
    const digest = await inSpan('save checkpoint', { attributes }, async (span) => {
      const saved = await this.#options.context.artefacts.put('models', files);
      span.setAttribute('jsigr.model', `models/${saved.digest}`);
      return saved.digest;
    });
    this.log.append({
      $case: 'checkpointSaved',
      value: { model: `models/${digest}`, step, epoch, heldOutAccuracy },
    });
    this.#checkpoints.add({ step, epoch, digest });
    this.#keepPoint('models', digest, step);
  }

  async #keep({ files, step }: StateMade): Promise<void> {
    if (step <= this.#kept) return;
    const { artefacts } = this.#options.context;
    // The training does not need it: whoever goes on begins further back.
    const kept = await artefacts
      .put('states', files)
      .catch((error) => this.#logger.warn(error, 'the state was not kept'));
    if (kept) this.#keepPoint('states', kept.digest, step);
  }

  /** The best epoch of early stopping, which comes last, lies behind what there is to go on from. */
  #keepPoint(kind: 'models' | 'states', digest: string, step: number): void {
    if (step <= this.#kept) return;
    this.#kept = step;
    this.log.keep({ kind, digest, step });
  }

  /** @param reports in a row that training ended for */
  #whyEarly(step: number, reports: number | undefined): string {
    const why =
      reports === undefined
        ? 'held-out accuracy did not rise any more'
        : `robust accuracy was no better in ${reports} report${reports === 1 ? '' : 's in a row'}`;
    return `stopped early after step ${step}: ${why}`;
  }

  #tellSkipped(skipped: readonly SavedCheckpoint[]): void {
    const reason = 'the attacker was still busy with an earlier checkpoint';
    this.log.append({ $case: 'checkpointsSkipped', value: { models: skipped.map(modelName), reason } });
  }

  #end(state: RunState, reason: string, retryable = false): void {
    this.log.close({ state, reason, bestModel: this.#best?.model ?? '', retryable });
  }
}

function modelName({ digest }: SavedCheckpoint): string {
  return `models/${digest}`;
}

function digestOf(model: string): string {
  return model.replace('models/', '');
}

function metricsOf(metrics: Readonly<Record<string, number>>): Metric[] {
  return Object.entries(metrics).map(([name, value]) => ({ name, value }));
}

/** What another trainer may be spared. */
const PASSING: readonly string[] = ['STORE_UNAVAILABLE', 'COMPUTE_THREAD_DIED', 'COMPUTE_THREAD_SILENT'];

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
