import { setTimeout } from 'node:timers/promises';
import {
  type ComputeTransferMatrixRequest,
  type ComputeTransferMatrixResponse,
  type EvaluateRequest,
  type EvaluateResponse,
  type EvaluationProgress,
  type EvaluationShard,
  type FollowRunRequest,
  type FollowRunResponse,
  type ResumePoint,
  type RobustnessReport,
  TrainerServiceClient,
} from '@jsigr/proto';
import {
  type ComputeThread,
  connect,
  type Files,
  inSpan,
  invalidArgument,
  JsigrError,
  siblingModule,
  startComputeThread,
  unary,
  type WorkerContext,
} from '@jsigr/service';
import { movable } from '@jsigr/service/compute';
import { retryDelay } from './backoff.ts';
import type {
  AttackerMethods,
  AttackerThreadData,
  CraftArgument,
  EvaluateArgument,
  FailedLedger,
  LoadedKind,
  PartialLedger,
  Progress,
} from './methods.ts';
import { augmentingAttack, evaluateArgument, inTermsOfPlan } from './plan.ts';
import { progressing } from './progressing.ts';
import { pullCheckpoints } from './pull.ts';
import { matrixReport, robustnessReport } from './report.ts';

/** Attacks models: finished ones, and those that are being trained. */
export class Attacker {
  readonly #context: WorkerContext;
  readonly #thread: ComputeThread<AttackerMethods>;

  constructor(context: WorkerContext) {
    this.#context = context;
    const { compute, silenceMs, endpointNetworks = [] } = context;
    const data: AttackerThreadData = { ...compute, endpointNetworks };
    const url = siblingModule(import.meta.url, 'compute');
    this.#thread = startComputeThread<AttackerMethods>(url, { data, silenceMs });
    context.signal.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** Progress now and then (never more than the caller takes), then the report. */
  async *evaluate(request: EvaluateRequest, callSignal: AbortSignal): AsyncGenerator<EvaluateResponse> {
    const { modelDigest, datasetDigest, surrogateDigests, plan, dataset, run, resume, shard, ledgerDigests } = request;
    const signal = AbortSignal.any([callSignal, this.#context.signal]);
    checkSurrogates(surrogateDigests);
    checkShard(shard);
    const ledgers = await Promise.all(ledgerDigests.map((digest) => this.#context.artefacts.get('ledgers', digest)));
    const argument = {
      ...evaluateArgument(plan, 'test'),
      ...(shard ? { shard } : {}),
      ledgers,
      model: modelDigest,
      dataset: datasetDigest,
      surrogates: surrogateDigests,
      stateMs: Math.min(this.#context.stateMs, LEDGER_MS),
      ...(await this.#begun(resume, plan)),
    };
    const work = (tell: (event: Progress | Kept) => void) =>
      this.#context.load.during(async () => {
        let keeping: Promise<unknown> = Promise.resolve();
        const keep = async (partial: PartialLedger) => {
          const point = await this.#keep(run, partial);
          if (point) tell({ type: 'kept', point });
        };
        const report = await this.#evaluate(argument, dataset, signal, (event) => {
          if (event.type === 'progress') tell(event);
          else keeping = Promise.all([keeping, keep(event)]);
        });
        await keeping;
        return report;
      });
    const logger = this.#context.logger.child({ run, ...(shard ? { shard: shard.index } : {}) });
    logger.info({ model: `models/${modelDigest}` }, 'the attack begins');
    try {
      for await (const message of progressing(work, signal)) {
        if ('result' in message) {
          logger.info({ seconds: message.result.seconds }, 'the attack is done');
          yield { message: { $case: 'report', value: message.result } };
        } else if (message.event.type === 'kept')
          yield { message: { $case: 'resumePoint', value: message.event.point } };
        else yield { message: { $case: 'progress', value: progressOf(message.event) } };
      }
    } catch (error) {
      throw inTermsOfPlan(error);
    }
  }

  /** Progress now and then, then the matrix. */
  async *transferMatrix(
    request: ComputeTransferMatrixRequest,
    callSignal: AbortSignal,
  ): AsyncGenerator<ComputeTransferMatrixResponse> {
    const { modelDigests, datasetDigest, plan, dataset } = request;
    const signal = AbortSignal.any([callSignal, this.#context.signal]);
    const { plan: attacks, samples, seed, part } = evaluateArgument(plan, 'test');
    if (part !== 'test')
      throw invalidArgument('plan.part', 'models hold out samples of their own: attack the test part');
    const argument = { models: modelDigests, dataset: datasetDigest, plan: attacks, samples, seed };
    const work = (onEvent: (progress: Progress) => void) =>
      this.#context.load.during(async () => {
        await this.#loadAll(datasetDigest, modelDigests, signal);
        const result = await this.#thread.call('transferMatrix', argument, { signal, onEvent });
        const ledger = await this.#context.artefacts.put('ledgers', result.ledger);
        return matrixReport(argument, result, { dataset, ledger: ledger.digest });
      });
    try {
      for await (const message of progressing(work, signal)) {
        if ('result' in message) yield { message: { $case: 'matrix', value: message.result } };
        else yield { message: { $case: 'progress', value: progressOf(message.event) } };
      }
    } catch (error) {
      throw inTermsOfPlan(error);
    }
  }

  /** One message for each checkpoint that was reported to the trainer. */
  async *follow(request: FollowRunRequest, callSignal: AbortSignal): AsyncGenerator<FollowRunResponse> {
    const { run, trainerAddress, trainerToken, datasetDigest, surrogateDigests, plan, dataset } = request;
    const { fencingToken, trainingExamples } = request;
    const signal = AbortSignal.any([callSignal, this.#context.signal]);
    checkSurrogates(surrogateDigests);
    if (!trainerAddress) throw invalidArgument('trainerAddress', 'is missing');
    const common = { ...evaluateArgument(plan, 'held-out'), dataset: datasetDigest, surrogates: surrogateDigests };
    const augmenting = trainingExamples > 0 ? augmentingAttack(common, trainingExamples) : undefined;
    const trainer = connect(TrainerServiceClient, {
      address: trainerAddress,
      token: trainerToken,
      tls: this.#context.tls,
    });
    let turn = 0;
    const logger = this.#context.logger.child({ run });
    logger.info({ trainer: trainerAddress }, 'its checkpoints are attacked');
    try {
      for await (const { sequence, step, digest, files } of pullCheckpoints(trainer, { run, signal })) {
        const attributes = {
          'jsigr.run': run,
          'jsigr.checkpoint.step': step,
          'jsigr.checkpoint.sequence': sequence,
          'jsigr.model': `models/${digest}`,
        };
        await inSpan('attack checkpoint', { attributes }, async () => {
          const report = await this.#context.load.during(async () => {
            await this.#send('models', digest, files, signal);
            const found = await this.#evaluate({ ...common, model: digest }, dataset, signal);
            if (!augmenting) return found;
            return {
              ...found,
              trainingExamples: await this.#craft({ ...augmenting, model: digest, turn: turn++ }, signal),
            };
          });
          await this.#report(trainer, { run, checkpointSequence: sequence, report, fencingToken }, signal);
        });
        logger.info({ step, model: `models/${digest}` }, 'a checkpoint was attacked');
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
    onEvent: (event: Progress | PartialLedger) => void = () => {},
  ): Promise<RobustnessReport> {
    await this.#loadAll(argument.dataset, [argument.model, ...argument.surrogates], signal);
    let failed: FailedLedger | undefined;
    const take = (event: Progress | PartialLedger | FailedLedger) => {
      if (event.type === 'failed') failed = event;
      else onEvent(event);
    };
    const attributes = { 'jsigr.model': `models/${argument.model}`, 'jsigr.dataset': dataset };
    const attack = () => this.#thread.call('evaluate', argument, { signal, onEvent: take });
    const result = await inSpan('evaluate', { attributes }, attack).catch(async (error) => {
      throw failed ? await this.#kept(error, failed) : error;
    });
    const ledger = await this.#context.artefacts.put('ledgers', result.ledger);
    return robustnessReport(argument, result, { dataset, ledger: ledger.digest });
  }

  /** Digest of adversarial examples of training images. Everything that they need was loaded for the evaluation. */
  async #craft(argument: CraftArgument, signal: AbortSignal): Promise<string> {
    const { files } = await this.#thread.call('craft', argument, { signal });
    return (await this.#context.artefacts.put('examples', files)).digest;
  }

  /** The name of the run makes the state its own: equal evaluations must not remove each other's. A state that cannot be kept is not the end. */
  async #keep(run: string, { units, files }: PartialLedger): Promise<ResumePoint | undefined> {
    try {
      const { digest } = await this.#context.artefacts.put('states', {
        ...files,
        'run.json': Buffer.from(JSON.stringify(run)),
      });
      return { kind: 'states', digest, step: units };
    } catch (error) {
      this.#context.logger.warn({ run, err: error }, 'what was found out so far could not be kept');
      return undefined;
    }
  }

  /** What is known already: from an attacker that was lost, or from an evaluation of the same that failed. */
  async #begun(point: ResumePoint | undefined, plan: EvaluateRequest['plan']): Promise<{ readonly resume?: Files }> {
    if (point) return { resume: await this.#context.artefacts.get('states', point.digest) };
    if (!plan?.resumeLedger) return {};
    return { resume: await this.#context.artefacts.get('ledgers', plan.resumeLedger) };
  }

  /** What was found before the failure is kept: the error says where. */
  async #kept(error: unknown, { files, attempts }: FailedLedger): Promise<JsigrError> {
    const { digest } = await this.#context.artefacts.put('ledgers', files);
    const { code, reason, message, violations } = JsigrError.from(error);
    const hint = `the ledger of the ${attempts} attempts until then is kept: --resume ${digest} goes on from it`;
    return new JsigrError({ code, reason, message, violations, hint, cause: error });
  }

  async #loadAll(dataset: string, models: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#load('datasets', dataset, signal);
    for (const digest of models) await this.#load('models', digest, signal);
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

/** From where another attacker could go on. */
interface Kept {
  readonly type: 'kept';
  readonly point: ResumePoint;
}

function progressOf({ attack, epsilon, fraction }: Progress): EvaluationProgress {
  return { attack, epsilon, fraction };
}

/** A ledger is small: it is kept at least as often as this, in milliseconds. */
const LEDGER_MS = 5000;
const MAX_SURROGATES = 8;
const MAX_SHARDS = 64;

function checkSurrogates(digests: readonly string[]): void {
  if (digests.length > MAX_SURROGATES)
    throw invalidArgument('surrogateDigests', `${digests.length} given, at most ${MAX_SURROGATES} allowed`);
}

function checkShard(shard: EvaluationShard | undefined): void {
  if (!shard) return;
  const { index, count } = shard;
  if (count < 1 || count > MAX_SHARDS)
    throw invalidArgument('shard.count', `${count} given, 1 to ${MAX_SHARDS} allowed`);
  if (index >= count) throw invalidArgument('shard.index', `${index} given, 0 to ${count - 1} allowed`);
}
