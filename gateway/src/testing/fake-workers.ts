import {
  AttackerServiceService,
  type ComputeTransferMatrixRequest,
  type EvaluateRequest,
  type EvaluateResponse,
  ExplainerServiceService,
  type ExplainImageRequest,
  type ExplainImageResponse,
  type FollowRunRequest,
  type ResumePoint,
  RunEvent,
  RunState,
  type StartTrainingRequest,
  TrainerServiceService,
  type TrainingOutcome,
  type TransferMatrix,
  type WatchTrainingResponse,
} from '@jsigr/proto';
import { Condition, failedPrecondition, unavailable, type WorkerKindName } from '@jsigr/service';
import { deferred } from '../deferred.ts';
import type { RunWorker } from '../store/run-rows.ts';
import type { EventPayload } from '../store/runs.ts';
import type { AcquireOptions, ReleaseOptions, Shard, Worker, WorkerPool, WorkerStatus } from '../workers/pool.ts';
import { startTestServer, type TestServer } from './grpc-server.ts';

let tokens = 0;

/** The far side of the network: servers that keep the worker contract, and do what a test tells them. */
abstract class FakeWorker implements Worker {
  abstract readonly kind: WorkerKindName;
  readonly id = `worker-${Math.random()}`;
  readonly fencingToken = ++tokens;
  readonly #lost = deferred<string>();
  readonly lost = this.#lost.promise;
  /** The pool's: a test waits in one place for whatever happens. */
  readonly changed: Condition;
  isDead = false;
  threads: number | undefined;
  released: ReleaseOptions | undefined;
  server: TestServer | undefined;

  constructor(changed: Condition) {
    this.changed = changed;
  }

  get address(): string {
    return this.server?.address ?? '';
  }

  abstract serve(): Promise<TestServer>;

  /** Dies as a process does: connections break, and what became of it is known a moment later. */
  async die(how: string): Promise<void> {
    this.isDead = true;
    await this.server?.close();
    this.#lost.resolve(`the ${this.kind} (process 1) ${how}`);
  }
}

export class FakeTrainer extends FakeWorker {
  readonly kind = 'trainer';
  started: StartTrainingRequest | undefined;
  stopped = false;
  handedBack = false;
  followingEnded = false;
  watches: number[] = [];
  /** Messages of every stream after which it breaks; the next one begins two events earlier than it was asked to. */
  breakAfter = Number.POSITIVE_INFINITY;
  readonly #log: RunEvent[] = [];
  #resumePoint: ResumePoint | undefined;
  #outcome: TrainingOutcome | undefined;
  #onStart: (trainer: FakeTrainer) => void;

  constructor(changed: Condition, onStart: (trainer: FakeTrainer) => void) {
    super(changed);
    this.#onStart = onStart;
  }

  emit(payload: EventPayload): void {
    this.#log.push({ ...RunEvent.fromPartial({}), sequence: this.#log.length + 1, time: new Date(0), payload });
    this.changed.notify();
  }

  keep(point: ResumePoint): void {
    this.#resumePoint = point;
    this.changed.notify();
  }

  end(state: RunState = RunState.RUN_STATE_SUCCEEDED, reason = 'trained 2 steps', retryable = false): void {
    this.#outcome = { state, reason, bestModel: '', retryable };
    this.changed.notify();
  }

  serve(): Promise<TestServer> {
    return startTestServer(TrainerServiceService, {
      startTraining: (request) => {
        this.started = request;
        this.changed.notify();
        this.#onStart(this);
        return {};
      },
      stopTraining: ({ handBack }) => {
        if (handBack) {
          this.handedBack = true;
          this.end(RunState.RUN_STATE_QUEUED, 'handed back after step 1');
        } else {
          this.stopped = true;
          this.end(RunState.RUN_STATE_CANCELLED, 'stopped');
        }
        return {};
      },
      endFollowing: () => {
        this.followingEnded = true;
        this.changed.notify();
        return {};
      },
      watchTraining: ({ afterSequence }, signal) => this.#watch(afterSequence, signal),
    });
  }

  async *#watch(afterSequence: number, signal: AbortSignal): AsyncGenerator<WatchTrainingResponse> {
    this.watches.push(afterSequence);
    let sent = 0;
    for (let next = this.watches.length > 1 ? Math.max(0, afterSequence - 2) : afterSequence; ; next++) {
      const news = () => next < this.#log.length || this.#outcome !== undefined || this.#resumePoint !== undefined;
      await this.changed.until(news, { signal });
      const event = this.#log[next];
      if (!event && this.#resumePoint) {
        yield { event: undefined, outcome: undefined, resumePoint: this.#resumePoint };
        this.#resumePoint = undefined;
        next--;
        continue;
      }
      if (!event) break;
      if (sent++ === this.breakAfter) throw unavailable('BROKEN', 'the connection broke');
      yield { event, outcome: undefined, resumePoint: undefined };
    }
    yield { event: undefined, outcome: this.#outcome, resumePoint: undefined };
  }
}

export class FakeAttacker extends FakeWorker {
  readonly kind = 'attacker';
  following: FollowRunRequest | undefined;
  evaluating: EvaluateRequest | undefined;
  comparing: ComputeTransferMatrixRequest | undefined;
  /** The answer to whoever asks for a transfer matrix. */
  matrix: TransferMatrix | undefined;
  cancelled = false;
  readonly #messages: EvaluateResponse[] = [];
  #ended = false;
  #refusal: string | undefined;

  say(message: NonNullable<EvaluateResponse['message']>): void {
    this.#messages.push({ message });
    this.changed.notify();
  }

  end(): void {
    this.#ended = true;
    this.changed.notify();
  }

  refuse(message: string): void {
    this.#refusal = message;
    this.changed.notify();
  }

  serve(): Promise<TestServer> {
    return startTestServer(AttackerServiceService, {
      followRun: (request, signal) => {
        this.following = request;
        return this.#tell<never>([], signal);
      },
      evaluate: (request, signal) => {
        this.evaluating = request;
        return this.#tell(this.#messages, signal);
      },
      computeTransferMatrix: (request, signal) => {
        this.comparing = request;
        const { matrix } = this;
        return this.#tell(matrix ? [{ message: { $case: 'matrix' as const, value: matrix } }] : [], signal);
      },
    });
  }

  async *#tell<T>(messages: readonly T[], signal: AbortSignal): AsyncGenerator<T> {
    this.changed.notify();
    signal.addEventListener('abort', () => {
      this.cancelled = true;
      this.changed.notify();
    });
    for (let next = 0; ; next++) {
      await this.changed.until(() => next < messages.length || this.#ended || this.#refusal !== undefined, { signal });
      if (this.#refusal !== undefined) throw failedPrecondition('REFUSED', this.#refusal);
      const message = messages[next];
      if (message === undefined) return;
      yield message;
    }
  }
}

export class FakeExplainer extends FakeWorker {
  readonly kind = 'explainer';
  readonly requests: ExplainImageRequest[] = [];
  answer: (request: ExplainImageRequest) => ExplainImageResponse | Promise<ExplainImageResponse> = () => ({
    response: undefined,
  });

  serve(): Promise<TestServer> {
    return startTestServer(ExplainerServiceService, {
      explainImage: (request) => {
        this.requests.push(request);
        return this.answer(request);
      },
    });
  }
}

/** Gives out fake workers: a new one for every acquisition, unless a test holds them back. */
export class FakePool implements WorkerPool {
  readonly trainers: FakeTrainer[] = [];
  readonly attackers: FakeAttacker[] = [];
  readonly explainers: FakeExplainer[] = [];
  readonly changed = new Condition();
  /** What a trainer does once it is told to train. */
  onStart: (trainer: FakeTrainer) => void = () => {};
  onAttacker: (attacker: FakeAttacker) => void = () => {};
  onExplainer: (explainer: FakeExplainer) => void = () => {};
  /** What attackers answer to whoever asks for a transfer matrix. */
  matrix: TransferMatrix | undefined;
  /** Kinds that cannot be had: `never` waits for ever, other texts are why they cannot start. */
  readonly refused = new Map<WorkerKindName, string>();
  /** Its gateway is: it does nothing any more, and its workers live on. */
  isDead = false;
  /** Its workers live on when its gateway stops, too. */
  outlives = false;
  /** Kinds that were asked for. */
  readonly asked: WorkerKindName[] = [];
  /** As which of those that share a run workers were asked for. */
  readonly sharing: Shard[] = [];

  async acquire(kind: WorkerKindName, { threads, shard, signal }: AcquireOptions): Promise<Worker> {
    signal?.throwIfAborted();
    if (shard) this.sharing.push(shard);
    this.asked.push(kind);
    this.changed.notify();
    const refused = this.refused.get(kind);
    if (refused === 'never')
      await this.changed.until(() => this.refused.get(kind) !== 'never', signal ? { signal } : {});
    else if (refused !== undefined) throw unavailable('WORKER_START_FAILED', refused);
    const worker = this.#make(kind);
    worker.threads = threads;
    worker.server = await worker.serve();
    this.changed.notify();
    return worker;
  }

  async adopt(_: WorkerKindName, { id }: RunWorker): Promise<Worker | undefined> {
    return this.#all().find((worker) => worker.id === id && !worker.isDead);
  }

  leave(): boolean {
    this.isDead ||= this.outlives;
    return this.outlives;
  }

  async release(worker: Worker, options: ReleaseOptions = {}): Promise<void> {
    const fake = this.#all().find(({ id }) => id === worker.id);
    if (!fake || this.isDead) return;
    fake.released = options;
    await fake.server?.close();
    this.changed.notify();
  }

  list(): readonly WorkerStatus[] {
    const inUse = this.#all().filter(({ released }) => released === undefined);
    return inUse.map(({ id, kind, address }) => ({ id, kind, address, users: 1 }));
  }

  async close(): Promise<void> {
    for (const worker of this.#all()) await worker.server?.close();
  }

  async trainer(index = 0): Promise<FakeTrainer> {
    await this.changed.until(() => this.trainers[index]?.server !== undefined);
    const trainer = this.trainers[index];
    if (!trainer) throw new Error('no such trainer');
    await trainer.changed.until(() => trainer.started !== undefined);
    return trainer;
  }

  async attacker(index = 0): Promise<FakeAttacker> {
    await this.changed.until(() => this.attackers[index]?.server !== undefined);
    const attacker = this.attackers[index];
    if (!attacker) throw new Error('no such attacker');
    await attacker.changed.until(() =>
      [attacker.following, attacker.evaluating, attacker.comparing].some((asked) => asked !== undefined),
    );
    return attacker;
  }

  #all(): readonly (FakeTrainer | FakeAttacker | FakeExplainer)[] {
    return [...this.trainers, ...this.attackers, ...this.explainers];
  }

  #make(kind: WorkerKindName): FakeTrainer | FakeAttacker | FakeExplainer {
    if (kind === 'trainer')
      return added(this.trainers, new FakeTrainer(this.changed, (trainer) => this.onStart(trainer)));
    if (kind === 'attacker') {
      const attacker = added(this.attackers, new FakeAttacker(this.changed));
      this.onAttacker(attacker);
      attacker.matrix = this.matrix;
      return attacker;
    }
    const explainer = added(this.explainers, new FakeExplainer(this.changed));
    this.onExplainer(explainer);
    return explainer;
  }
}

function added<T>(list: T[], item: T): T {
  list.push(item);
  return item;
}
