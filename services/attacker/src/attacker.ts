import { setTimeout } from 'node:timers/promises';
import {
  type EvaluateRequest,
  type EvaluateResponse,
  type FollowRunRequest,
  type FollowRunResponse,
  type RobustnessReport,
  TrainerServiceClient,
} from '@jsigr/proto';
import {
  type ComputeThread,
  Condition,
  connect,
  type Files,
  invalidArgument,
  JsigrError,
  siblingModule,
  startComputeThread,
  unary,
  type WorkerContext,
} from '@jsigr/service';
import { movable } from '@jsigr/service/compute';
import { retryDelay } from './backoff.ts';
import type { AttackerMethods, AttackerThreadData, EvaluateArgument, LoadedKind, Progress } from './methods.ts';
import { evaluateArgument, inTermsOfPlan } from './plan.ts';
import { pullCheckpoints } from './pull.ts';
import { robustnessReport } from './report.ts';

/** Attacks models: finished ones, and those that are being trained. */
export class Attacker {
  readonly #context: WorkerContext;
  readonly #thread: ComputeThread<AttackerMethods>;

  constructor(context: WorkerContext) {
    this.#context = context;
    const data: AttackerThreadData = context.compute;
    this.#thread = startComputeThread<AttackerMethods>(siblingModule(import.meta.url, 'compute'), data);
    context.signal.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** Progress now and then (never more than the caller takes), then the report. */
  async *evaluate(request: EvaluateRequest, callSignal: AbortSignal): AsyncGenerator<EvaluateResponse> {
    const { modelDigest, datasetDigest, surrogateDigests, plan, dataset } = request;
    const signal = AbortSignal.any([callSignal, this.#context.signal]);
    checkSurrogates(surrogateDigests);
    const argument = {
      ...evaluateArgument(plan, 'test'),
      model: modelDigest,
      dataset: datasetDigest,
      surrogates: surrogateDigests,
    };
    const changed = new Condition();
    let progress: Progress | undefined;
    let report: RobustnessReport | undefined;
    let failure: JsigrError | undefined;
    void this.#context.load
      .during(() =>
        this.#evaluate(argument, dataset, signal, (latest) => {
          progress = latest;
          changed.notify();
        }),
      )
      .then(
        (found) => {
          report = found;
        },
        (error) => {
          failure = inTermsOfPlan(error);
        },
      )
      .then(() => changed.notify());
    for (;;) {
      await changed.until(() => progress !== undefined || report !== undefined || failure !== undefined, { signal });
      if (failure) throw failure;
      if (report) return yield { message: { $case: 'report', value: report } };
      if (progress) yield { message: { $case: 'progress', value: { ...progress } } };
      progress = undefined;
    }
  }

  /** One message for each checkpoint that was reported to the trainer. */
  async *follow(request: FollowRunRequest, callSignal: AbortSignal): AsyncGenerator<FollowRunResponse> {
    const { run, trainerAddress, datasetDigest, surrogateDigests, plan, dataset } = request;
    const signal = AbortSignal.any([callSignal, this.#context.signal]);
    checkSurrogates(surrogateDigests);
    if (!trainerAddress) throw invalidArgument('trainerAddress', 'is missing');
    const common = { ...evaluateArgument(plan, 'held-out'), dataset: datasetDigest, surrogates: surrogateDigests };
    const trainer = connect(TrainerServiceClient, trainerAddress);
    try {
      for await (const { sequence, digest, files } of pullCheckpoints(trainer, { run, signal })) {
        const report = await this.#context.load.during(async () => {
          await this.#send('models', digest, files, signal);
          return this.#evaluate({ ...common, model: digest }, dataset, signal);
        });
        await this.#report(trainer, { run, checkpointSequence: sequence, report }, signal);
        yield { checkpointSequence: sequence };
      }
    } catch (error) {
      throw inTermsOfPlan(error);
    } finally {
      trainer.close();
    }
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  async #evaluate(
    argument: EvaluateArgument,
    dataset: string,
    signal: AbortSignal,
    onEvent: (progress: Progress) => void = () => {},
  ): Promise<RobustnessReport> {
    await this.#load('datasets', argument.dataset, signal);
    for (const digest of [argument.model, ...argument.surrogates]) await this.#load('models', digest, signal);
    const result = await this.#thread.call('evaluate', argument, { signal, onEvent });
    const ledger = await this.#context.artefacts.put('ledgers', result.ledger);
    return robustnessReport(argument, result, { dataset, ledger: ledger.digest });
  }

  async #load(kind: LoadedKind, digest: string, signal: AbortSignal): Promise<void> {
    if (await this.#thread.call('knows', { kind, digest }, { signal })) return;
    await this.#send(kind, digest, await this.#context.artefacts.get(kind, digest), signal);
  }

  async #send(kind: LoadedKind, digest: string, given: Files, signal: AbortSignal): Promise<void> {
    const { files, buffers } = movable(given);
    await this.#thread.call('load', { kind, digest, files }, { signal, transfer: buffers });
  }

  /** The trainer takes the same report twice without harm, so a call that may have got through is made again. */
  async #report(
    trainer: TrainerServiceClient,
    request: Parameters<typeof unary<TrainerServiceClient, 'reportRobustness'>>[2],
    signal: AbortSignal,
  ): Promise<void> {
    for (let failures = 1; ; failures++) {
      try {
        await unary(trainer, 'reportRobustness', request, { signal, deadlineMs: 30_000 });
        return;
      } catch (error) {
        const delay = retryDelay(failures, JsigrError.from(error).code, Math.random());
        if (signal.aborted || delay === undefined) throw error;
        await setTimeout(delay, undefined, { signal });
      }
    }
  }
}

const MAX_SURROGATES = 8;

function checkSurrogates(digests: readonly string[]): void {
  if (digests.length > MAX_SURROGATES)
    throw invalidArgument('surrogateDigests', `${digests.length} given, at most ${MAX_SURROGATES} allowed`);
}
