import { EvaluationSpec, RunState } from '@jsigr/proto';
import { failedPrecondition, inSpan, JsigrError, underTraceParent, unlessAborted } from '@jsigr/service';
import { deferred } from '../deferred.ts';
import { type RunWorker, runName } from '../store/run-rows.ts';
import type { StoredRun } from '../store/runs.ts';
import type { RunKind } from '../store/schema.ts';
import { isFinal, stateName } from '../store/state-machine.ts';
import { inWords } from '../workers/far-side.ts';
import { patiently } from './attempts.ts';
import { conductEvaluation } from './evaluation.ts';
import { Journal } from './journal.ts';
import { conductMatrix } from './matrix.ts';
import type { Means } from './means.ts';
import { Slots } from './slots.ts';
import { Surrogates } from './surrogates.ts';
import { conductTraining } from './training.ts';

export interface ConductorOptions {
  /** Training runs at once; the others wait in order. */
  readonly trainings: number;
  readonly evaluations: number;
  /** How long a stop waits for workers to hand their runs back, in milliseconds. */
  readonly graceMs?: number;
  /** See `Means`. */
  readonly togetherMs?: number;
}

const STOPPED = 'the gateway stopped; the run goes on when it is up again';
const DIED = 'the gateway ended without warning; the run goes on';
const UNNEEDED = 'the gateway stopped; a run that needs this surrogate has it trained again';
const GRACE_MS = 10_000;
const TOGETHER_MS = 20_000;
/** Reason of a run that is QUEUED and does not wait for its turn. */
export const SUSPENDED = 'suspended; it goes on when it is resumed';

/** A run that is not finished. */
interface Active {
  readonly controller: AbortController;
  /** Has the run handed back. */
  readonly suspending: AbortController;
  readonly done: Promise<void>;
}

/** Brings every run to its end. */
export class Conductor {
  readonly #means: Means;
  readonly #slots: Record<RunKind, Slots>;
  readonly #surrogates: Surrogates;
  readonly #active = new Map<string, Active>();
  readonly #closing = new AbortController();
  /** Trainers at work stay so when the gateway stops. */
  #leaves = false;
  /** Workers that are started find the gateway. */
  readonly #resumed = deferred<void>();
  readonly #graceMs: number;

  constructor(
    given: Omit<Means, 'closing' | 'leaves' | 'togetherMs'>,
    { trainings, evaluations, graceMs = GRACE_MS, togetherMs = TOGETHER_MS }: ConductorOptions,
  ) {
    const means = { ...given, togetherMs, closing: this.#closing.signal, leaves: () => this.#leaves };
    this.#means = means;
    this.#graceMs = graceMs;
    this.#slots = { training: new Slots(trainings), evaluation: new Slots(evaluations) };
    this.#surrogates = new Surrogates(means, (run, controller) =>
      // A surrogate has its place already: that of the run that needs it.
      this.#keep(run, { controller, suspending: new AbortController() }, (journal) =>
        conductTraining(run, journal, means, this.#surrogates, controller.signal),
      ),
    );
  }

  /** Takes training runs over whose trainers may have outlived the gateway before: their leases go on, so call it before anybody can ask. */
  async adopt(): Promise<void> {
    for (const run of await this.#means.runs.active())
      if (run.kind === 'training' && run.state === RunState.RUN_STATE_RUNNING && run.labels.role !== 'surrogate')
        if (run.worker) this.#adopt(run, run.worker);
  }

  /** After `adopt`, when the gateway can be reached: every other run that is not finished is queued, in the order in which they came, and goes on from where it stood. */
  async resume(): Promise<void> {
    this.#resumed.resolve();
    for (const run of await this.#means.runs.active())
      await this.#resume(run).catch((error) => {
        // Clients are served already: it was cancelled meanwhile.
        if (JsigrError.from(error).reason !== 'ILLEGAL_TRANSITION') throw error;
      });
  }

  async #resume(run: StoredRun): Promise<void> {
    if (this.#active.has(run.id)) return;
    // Who needs it asks for it; by itself it would take its place among the runs that wait for it.
    if (run.labels.role === 'surrogate') await this.#finish(run.id, RunState.RUN_STATE_CANCELLED, UNNEEDED);
    else if (run.reason === SUSPENDED) return;
    else if (run.state === RunState.RUN_STATE_QUEUED) this.submit(run);
    else this.submit(await this.#means.runs.transition(run.id, RunState.RUN_STATE_QUEUED, DIED));
  }

  /** Goes on with a training run in its place: with its trainer, or where that did not outlive the gateway with another one. */
  #adopt(run: StoredRun, worker: RunWorker): void {
    const [controller, suspending] = [new AbortController(), new AbortController()];
    const { signal } = controller;
    const closing = AbortSignal.any([this.#closing.signal, suspending.signal]);
    const means = { ...this.#means, closing };
    const any = AbortSignal.any([signal, closing]);
    const adopting = means.pool.adopt('trainer', worker, any);
    void this.#keep(run, { controller, suspending }, (journal) =>
      this.#slots.training.during(any, async () => {
        const trainer = await adopting;
        await unlessAborted(this.#resumed.promise, any);
        if (!trainer) await journal.handBack(DIED);
        await conductTraining(run, journal, means, this.#surrogates, signal, trainer);
      }),
    );
  }

  /** Queues a run that was created; one that is there already, or finished, is left alone. */
  submit(run: StoredRun): void {
    if (this.#active.has(run.id) || run.state !== RunState.RUN_STATE_QUEUED || this.#closing.signal.aborted) return;
    const [controller, suspending] = [new AbortController(), new AbortController()];
    const closing = AbortSignal.any([this.#closing.signal, suspending.signal]);
    void this.#keep(run, { controller, suspending }, (journal) =>
      this.#slots[run.kind].during(AbortSignal.any([controller.signal, closing]), () =>
        this.#conduct(run, journal, controller.signal, closing),
      ),
    );
  }

  /** Has a run hand back its workers, and keeps it from going on. One that has ended is left alone. */
  async suspend(kind: RunKind, id: string): Promise<void> {
    const active = this.#active.get(id);
    if (active) {
      active.suspending.abort(new DOMException(SUSPENDED, 'AbortError'));
      await this.#handedBack([active], SUSPENDED);
    } else {
      const { state } = await this.#means.runs.get(kind, id);
      if (state === RunState.RUN_STATE_QUEUED)
        await this.#means.runs.transition(id, RunState.RUN_STATE_QUEUED, SUSPENDED);
    }
  }

  /** A suspended run waits for its turn again. */
  async unsuspend(kind: RunKind, id: string): Promise<void> {
    const { state, reason } = await this.#means.runs.get(kind, id);
    if (state !== RunState.RUN_STATE_QUEUED || reason !== SUSPENDED) return;
    this.submit(await this.#means.runs.transition(id, RunState.RUN_STATE_QUEUED, ''));
  }

  /**
   * Ends a run at whatever stage it is: its state is CANCELLED at once, its workers are told to stop.
   * @param etag of the run as the caller saw it; empty: whatever its state
   * @throws JsigrError FAILED_PRECONDITION RUN_FINISHED for one that is finished; ABORTED ETAG_MISMATCH.
   */
  async cancel(kind: RunKind, id: string, etag = ''): Promise<StoredRun> {
    const { state } = await this.#means.runs.get(kind, id);
    if (isFinal(state))
      throw failedPrecondition('RUN_FINISHED', `the run ${id} is ${stateName(state)}: there is nothing to cancel`);
    const run = await this.#finish(id, RunState.RUN_STATE_CANCELLED, 'cancelled on request', etag);
    this.#active.get(id)?.controller.abort(new DOMException('the run was cancelled', 'AbortError'));
    return run;
  }

  /**
   * Leaves what is going on to the next gateway: training runs at work with their trainers, where those outlive this one; else it is handed back. What is queued
   * stays queued.
   */
  async close(): Promise<void> {
    this.#leaves = this.#means.pool.leave();
    this.#closing.abort(new DOMException(STOPPED, 'AbortError'));
    await this.#handedBack([...this.#active.values()], STOPPED);
  }

  /** Waits until these runs were handed back, and cuts what takes too long. */
  async #handedBack(ending: readonly Active[], why: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#graceMs);
    });
    await Promise.race([Promise.all(ending.map(({ done }) => done)), late]);
    clearTimeout(timer);
    for (const { controller } of ending) controller.abort(new DOMException(why, 'AbortError'));
    await Promise.all(ending.map(({ done }) => done));
  }

  #conduct(run: StoredRun, journal: Journal, signal: AbortSignal, closing: AbortSignal): Promise<void> {
    const surrogates = this.#surrogates;
    const means = { ...this.#means, closing };
    if (run.kind === 'training') return conductTraining(run, journal, means, surrogates, signal);
    return EvaluationSpec.fromJSON(run.spec).models.length > 0
      ? conductMatrix(run, journal, means, signal)
      : conductEvaluation(run, journal, { ...means, surrogates, trainingSlots: this.#slots.training }, signal);
  }

  /** Keeps the run among the active ones while it is conducted, and ends it when that fails. Never rejects. */
  #keep(run: StoredRun, stops: Omit<Active, 'done'>, work: (journal: Journal) => Promise<void>): Promise<void> {
    const journal = new Journal(this.#means, run);
    const done = traced(run, () => work(journal))
      .catch((error) => patiently(() => this.#end(run, journal, error, stops), this.#closing.signal))
      .catch((error) => this.#means.logger.error(error, `the end of the run ${run.id} could not be stored`))
      .finally(() => this.#active.delete(run.id));
    this.#active.set(run.id, { ...stops, done });
    return done;
  }

  async #end(
    { id, kind }: StoredRun,
    journal: Journal,
    error: unknown,
    { controller, suspending }: Omit<Active, 'done'>,
  ): Promise<void> {
    const { runs, logger } = this.#means;
    const { state, labels } = await runs.get(kind, id);
    if (isFinal(state)) return;
    const { reason: why } = JsigrError.from(error);
    try {
      // Somebody else has the run: it is not ours to end.
      if (why === 'FENCED') throw error;
      if (this.#closing.signal.aborted) {
        if (labels.role === 'surrogate') await journal.ended(RunState.RUN_STATE_CANCELLED, UNNEEDED);
        else if (this.#leaves && kind === 'training' && state === RunState.RUN_STATE_RUNNING)
          logger.info({ run: id }, 'its trainer is left at work');
        else if (state !== RunState.RUN_STATE_QUEUED) await journal.handBack(STOPPED);
      } else if (suspending.signal.aborted) await journal.handBack(SUSPENDED);
      else if (controller.signal.aborted)
        await journal.ended(RunState.RUN_STATE_CANCELLED, 'the run that needed it ended');
      else {
        logger.warn({ run: id, reason: why }, inWords(error));
        await journal.ended(RunState.RUN_STATE_FAILED, inWords(error));
      }
    } catch (told) {
      if (JsigrError.from(told).reason !== 'FENCED') throw told;
      logger.warn({ run: id }, inWords(told));
    }
  }

  /** Ends a run, and removes what it would have gone on from. */
  async #finish(id: string, to: RunState, reason: string, etag = ''): Promise<StoredRun> {
    const { runs, artefacts, logger } = this.#means;
    const parts = await runs.parts(id);
    const run = await runs.transition(id, to, reason, { etag });
    for (const { resumePoint } of [run, ...parts.values()])
      if (resumePoint?.kind === 'states')
        await artefacts.remove('states', resumePoint.digest).catch((error) => logger.warn(error));
    return run;
  }
}

/** In the trace of the call that created the run, whichever gateway that was. */
function traced(run: StoredRun, work: () => Promise<void>): Promise<void> {
  const attributes = { 'jsigr.run': runName(run), 'jsigr.run.kind': run.kind, 'jsigr.run.retries': run.retries };
  return underTraceParent(run.traceParent, () => inSpan(`${run.kind} run`, { attributes }, work));
}
