import { setTimeout as wait } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { type FollowRunRequest, RobustnessReport, type RunEvent } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { needsSurrogates } from '../application/evaluation-plan.ts';
import { digestOf } from '../application/models.ts';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import { inWords } from '../workers/far-side.ts';
import { acquireWorker, type Worker } from '../workers/pool.ts';
import { followRun } from './attacker.ts';
import { patiently } from './attempts.ts';
import { reportCommand } from './report-command.ts';
import type { Surrogates } from './surrogates.ts';
import type { TrainerCalls } from './trainer.ts';
import type { Conducted } from './training.ts';

/** How long the attacker may take to end its call after the trainer has its last report, in milliseconds. */
const LAST_CALL_MS = 5000;
/** Before another attacker is started, in milliseconds; more each time in vain. */
const AGAIN_MS = 500;

/** The attacker that follows a run. None of its troubles leaves this class but as an event. */
export class Loop {
  /** Why checkpoints are not attacked (any more). */
  problem: string | undefined;
  readonly #conducted: Conducted;
  readonly #surrogates: Surrogates;
  /** Ends the attacker's call with the run. */
  readonly #ending = new AbortController();
  #digests: readonly string[] = [];
  #worker: Worker | undefined;
  #acquiring: Promise<void> | undefined;
  #following: Promise<void> | undefined;
  #discard = true;

  constructor(conducted: Conducted, surrogates: Surrogates) {
    this.#conducted = conducted;
    this.#surrogates = surrogates;
  }

  /** There is an attacker, or there may be one before the training has ended. */
  get isExpected(): boolean {
    return this.problem === undefined;
  }

  /** Finds or trains the surrogates. */
  async prepare(): Promise<void> {
    await this.#guarded('the surrogates', async () => {
      this.#digests = await this.#surrogateDigests();
    });
  }

  /** Has an attacker found, and waits for it a while: where the trainer holds what the attacker needs, neither may wait for the other. Never rejects. */
  async acquire(): Promise<void> {
    if (this.problem !== undefined) return;
    const { means, signal } = this.#conducted;
    const any = AbortSignal.any([signal, means.closing, this.#ending.signal]);
    this.#acquiring = this.#guarded('the attacker', () => this.#acquireWorker(any)).catch(() => undefined);
    const late = new AbortController();
    await Promise.race([
      this.#acquiring,
      wait(means.togetherMs, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
  }

  async #acquireWorker(signal: AbortSignal): Promise<void> {
    const { name, labels, means, journal } = this.#conducted;
    const threads = means.threads.attackerInLoop;
    const onWaiting = journal.waiting('attacker');
    this.#worker = await acquireWorker(means.pool, 'attacker', { run: name, labels, threads, onWaiting, signal });
    const { address } = this.#worker;
    await patiently(() => journal.worker('attacker', address, 'started'), signal);
  }

  async #releaseWorker(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker) await this.#conducted.means.pool.release(worker, { discard: this.#discard });
  }

  /** An attacker that is lost is followed by another one, as often as the last one reported something, and a few times without. */
  follow(trainer: Worker, calls: TrainerCalls): void {
    if (!this.isExpected) return;
    const { name, spec, dataset, means, signal } = this.#conducted;
    const request = {
      run: name,
      trainerAddress: trainer.address,
      trainerToken: means.credentials.follower(name),
      datasetDigest: dataset.digest,
      surrogateDigests: [...this.#digests],
      plan: spec.loop?.plan,
      dataset: dataset.name,
      fencingToken: trainer.fencingToken,
      trainingExamples: spec.loop?.trainingExamples ?? 0,
    };
    const both = AbortSignal.any([signal, this.#ending.signal]);
    const follow = async () => {
      await this.#acquiring;
      if (this.isExpected) await this.#followPatiently(request, both);
    };
    this.#following = this.#guarded('the attacker', follow)
      .catch(() => undefined)
      .then(() => calls.endFollowing(name));
  }

  async #followPatiently(request: FollowRunRequest, signal: AbortSignal): Promise<void> {
    const { means, journal } = this.#conducted;
    for (let failures = 0; ; ) {
      try {
        if (!this.#worker) await this.#acquireWorker(signal);
        if (!this.#worker) return;
        await followRun(this.#worker, request, signal, () => {
          failures = 0;
        });
        this.#discard = false;
        return;
      } catch (error) {
        signal.throwIfAborted();
        failures++;
        if (JsigrError.from(error).code !== status.UNAVAILABLE || failures > means.retries) throw error;
        const address = this.#worker?.address ?? '';
        await patiently(() => journal.worker('attacker', address, `${inWords(error)}; another one is started`), signal);
        await this.#releaseWorker();
        await wait(AGAIN_MS * failures, undefined, { signal });
      }
    }
  }

  /** After training: waits until the attacker has ended too, but not for ever. @param normally false: it is not waited for. */
  async finish(normally: boolean): Promise<void> {
    const timer = setTimeout(() => this.#ending.abort(), normally ? LAST_CALL_MS : 0);
    await this.#following;
    clearTimeout(timer);
  }

  async release(): Promise<void> {
    this.#ending.abort();
    await this.#acquiring;
    await this.#following;
    await this.#releaseWorker();
  }

  /** A report with the command that makes it again. */
  withCommand(event: RunEvent): RunEvent {
    const { payload } = event;
    const plan = this.#conducted.spec.loop?.plan;
    if (payload?.$case !== 'robustnessReported' || !plan) return event;
    const { model, surrogates } = payload.value;
    const command = reportCommand({ model, dataset: this.#conducted.dataset.name, plan, surrogates });
    return { ...event, payload: { ...payload, value: RobustnessReport.fromPartial({ ...payload.value, command }) } };
  }

  async #surrogateDigests(): Promise<string[]> {
    const { spec, dataset, means, journal, signal } = this.#conducted;
    const plan = spec.loop?.plan;
    if (!plan || !needsSurrogates(plan)) return [];
    if (plan.surrogates.length > 0)
      return Promise.all(plan.surrogates.map(async (name) => digestOf(await means.models.byName(name))));
    return this.#surrogates.ensure({
      dataset,
      target: spec.architecture,
      signal: AbortSignal.any([signal, means.closing]),
      onTraining: (architecture, run) =>
        journal.preparing('attacker', `training the surrogate ${architecture} (${run}), once for this dataset`),
    });
  }

  /** @throws the run's own abortion, and DATABASE_UNAVAILABLE. */
  async #guarded(what: string, work: () => Promise<void>): Promise<void> {
    const { means, journal, signal } = this.#conducted;
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      means.closing.throwIfAborted();
      if (this.#ending.signal.aborted) return;
      // No trouble of the attacker's: the run waits for the database.
      if (JsigrError.from(error).reason === DATABASE_UNAVAILABLE) throw error;
      this.problem = `${what}: ${inWords(error)}`;
      const change = `${this.problem}; the training goes on, checkpoints are not attacked`;
      await journal.worker('attacker', this.#worker?.address ?? '', change).catch((reason) => {
        if (JsigrError.from(reason).reason !== 'RUN_FINISHED') throw reason;
      });
    }
  }
}
