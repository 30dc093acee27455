import {
  Feedback,
  type ReportRobustnessRequest,
  type StartTrainingRequest,
  type StopTrainingRequest,
  type StreamCheckpointsRequest,
  type TrainingSpec,
  type WatchTrainingRequest,
} from '@jsigr/proto';
import {
  type ComputeThread,
  failedPrecondition,
  invalidArgument,
  notFound,
  siblingModule,
  startComputeThread,
  type WorkerContext,
} from '@jsigr/service';
import { inTermsOfSpec, selectingAttacks, trainingConfig } from './configuration.ts';
import type { FixedNetworks, TrainerMethods } from './methods.ts';
import { Session } from './session.ts';

/** What the attacker of a run may call. */
const FOLLOWER_METHODS = ['StreamCheckpoints', 'ReportRobustness'].map((name) => `jsigr.v1.TrainerService/${name}`);

/** Trains one run at a time; the last one stays here, for those who watch it, until the next begins. */
export class Trainer {
  readonly #context: WorkerContext;
  readonly #thread: ComputeThread<TrainerMethods>;
  #session: Session | undefined;
  #starting = false;

  constructor(context: WorkerContext) {
    this.#context = context;
    this.#thread = startComputeThread<TrainerMethods>(siblingModule(import.meta.url, 'compute'), {
      silenceMs: context.silenceMs,
    });
    // Nothing may go on computing once the worker has to stop: a step in progress is cut.
    context.signal.addEventListener('abort', () => void this.close(), { once: true });
    context.onDrain(async () => this.#session?.handBack());
  }

  /** Starting the run that is being trained again changes nothing. @throws JsigrError FAILED_PRECONDITION while another run is being trained, or for another trainer's token. */
  async start(request: StartTrainingRequest): Promise<void> {
    const { run, spec, datasetDigest, fencingToken, followerToken, resume } = request;
    if (!run) throw invalidArgument('run', 'is missing');
    if (!spec) throw invalidArgument('spec', 'is missing');
    const token = this.#context.fencingToken();
    if (token !== undefined && fencingToken !== token)
      throw failedPrecondition('FENCED', `the trainer's token is ${token}, the request's ${fencingToken}`);
    if (this.#session?.run === run && !this.#session.ended) return;
    if (this.#starting || (this.#session && !this.#session.ended))
      throw failedPrecondition(
        'TRAINER_BUSY',
        `this trainer is training ${this.#session?.run ?? 'another run'}`,
        'start another trainer',
      );
    this.#starting = true;
    try {
      const attacks = selectingAttacks(spec);
      const adapts = spec.loop?.enabled === true && spec.loop.feedback === Feedback.FEEDBACK_ADAPT;
      const check = { config: trainingConfig(spec), adapts, ...(attacks ? { selectingAttacks: attacks } : {}) };
      await this.#thread.call('check', check).catch((error) => {
        throw inTermsOfSpec(error);
      });
      const dataset = await this.#context.artefacts.get('datasets', datasetDigest);
      const networks = await this.#networks(spec);
      const { kind, digest } = resume?.point ?? {};
      const state = digest && (await this.#context.artefacts.get(kind === 'states' ? 'states' : 'models', digest));
      this.#context.door.invite(followerToken, FOLLOWER_METHODS);
      this.#session = new Session({
        request,
        dataset,
        networks,
        thread: this.#thread,
        context: this.#context,
        ...(state ? { resume: state } : {}),
      });
    } finally {
      this.#starting = false;
    }
  }

  watch({ run, afterSequence }: WatchTrainingRequest, signal: AbortSignal) {
    return this.#find(run).log.watch(afterSequence, signal);
  }

  async stop({ run, handBack }: StopTrainingRequest): Promise<void> {
    const session = this.#find(run);
    if (!session.ended) await (handBack ? session.handBack() : session.stop());
  }

  endFollowing(run: string): void {
    this.#find(run).endFollowing();
  }

  streamCheckpoints(request: StreamCheckpointsRequest, signal: AbortSignal) {
    return this.#find(request.run).streamCheckpoints(request, signal);
  }

  report(request: ReportRobustnessRequest): Promise<void> {
    return this.#find(request.run).report(request);
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  /** The checkpoints that the spec names. @throws JsigrError MODEL_NOT_FOUND */
  async #networks({ initialModel, teacher, surrogates }: TrainingSpec): Promise<FixedNetworks> {
    const load = async (name: string) => ({
      name,
      files: await this.#context.artefacts.get('models', name.replace('models/', '')),
    });
    return {
      ...(initialModel ? { initial: await load(initialModel) } : {}),
      ...(teacher ? { teacher: await load(teacher) } : {}),
      surrogates: await Promise.all(surrogates.map(load)),
    };
  }

  #find(run: string): Session {
    if (this.#session?.run === run) return this.#session;
    throw notFound(
      'training run',
      run,
      this.#session ? `this trainer has ${this.#session.run}` : 'this trainer has no run yet',
    );
  }
}
