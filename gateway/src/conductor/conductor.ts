import { RunState } from '@jsigr/proto';
import { failedPrecondition, JsigrError } from '@jsigr/service';
import type { StoredRun } from '../store/runs.ts';
import type { RunKind } from '../store/schema.ts';
import { isFinal, stateName } from '../store/state-machine.ts';
import { inWords } from '../workers/far-side.ts';
import { conductEvaluation } from './evaluation.ts';
import type { Means } from './means.ts';
import { Slots } from './slots.ts';
import { Surrogates } from './surrogates.ts';
import { conductTraining } from './training.ts';

export interface ConductorOptions {
  /** Training runs at once; the others wait in order. */
  readonly trainings: number;
  readonly evaluations: number;
}

const STOPPED = 'the gateway stopped while the run was going on; create the run again';

/** A run that is not finished. */
interface Active {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

/** Brings every run to its end. */
export class Conductor {
  readonly #means: Means;
  readonly #slots: Record<RunKind, Slots>;
  readonly #surrogates: Surrogates;
  readonly #active = new Map<string, Active>();
  #closing = false;

  constructor(means: Means, { trainings, evaluations }: ConductorOptions) {
    this.#means = means;
    this.#slots = { training: new Slots(trainings), evaluation: new Slots(evaluations) };
    this.#surrogates = new Surrogates(means, (run, controller) =>
      // A surrogate has its place already: that of the run that needs it.
      this.#keep(run, controller, () => conductTraining(run, means, this.#surrogates, controller.signal)),
    );
  }

  /** After a start: runs that were going on when the gateway stopped have failed; those in the queue go on waiting, in their order. */
  async resume(): Promise<void> {
    for (const run of await this.#means.runs.active()) {
      if (run.state === RunState.RUN_STATE_QUEUED) this.submit(run);
      else await this.#means.runs.transition(run.id, RunState.RUN_STATE_FAILED, STOPPED);
    }
  }

  /** Queues a run that was created; one that is there already, or finished, is left alone. */
  submit(run: StoredRun): void {
    if (this.#active.has(run.id) || run.state !== RunState.RUN_STATE_QUEUED || this.#closing) return;
    const controller = new AbortController();
    void this.#keep(run, controller, () =>
      this.#slots[run.kind].during(controller.signal, () => this.#conduct(run, controller.signal)),
    );
  }

  /**
   * Ends a run at whatever stage it is: its state is CANCELLED at once, its workers are told to stop.
   * @throws JsigrError FAILED_PRECONDITION RUN_FINISHED for one that is finished.
   */
  async cancel(kind: RunKind, id: string): Promise<StoredRun> {
    const { state } = await this.#means.runs.get(kind, id);
    if (isFinal(state))
      throw failedPrecondition('RUN_FINISHED', `the run ${id} is ${stateName(state)}: there is nothing to cancel`);
    const run = await this.#means.runs.transition(id, RunState.RUN_STATE_CANCELLED, 'cancelled on request');
    this.#active.get(id)?.controller.abort(new DOMException('the run was cancelled', 'AbortError'));
    return run;
  }

  /** Ends what is going on; what is queued stays queued for the next gateway. */
  async close(): Promise<void> {
    this.#closing = true;
    const ending = [...this.#active.values()];
    for (const { controller } of ending) controller.abort(new DOMException(STOPPED, 'AbortError'));
    await Promise.all(ending.map(({ done }) => done));
  }

  #conduct(run: StoredRun, signal: AbortSignal): Promise<void> {
    const surrogates = this.#surrogates;
    return run.kind === 'training'
      ? conductTraining(run, this.#means, surrogates, signal)
      : conductEvaluation(run, { ...this.#means, surrogates, trainingSlots: this.#slots.training }, signal);
  }

  /** Keeps the run among the active ones while it is conducted, and ends it when that fails. Never rejects. */
  #keep(run: StoredRun, controller: AbortController, work: () => Promise<void>): Promise<void> {
    const done = work()
      .catch((error) => this.#end(run, error, controller.signal))
      .catch((error) => this.#means.logger.error(error, `the end of the run ${run.id} could not be stored`))
      .finally(() => this.#active.delete(run.id));
    this.#active.set(run.id, { controller, done });
    return done;
  }

  async #end({ id, kind }: StoredRun, error: unknown, signal: AbortSignal): Promise<void> {
    const { state } = await this.#means.runs.get(kind, id);
    if (isFinal(state)) return;
    if (this.#closing) {
      if (state !== RunState.RUN_STATE_QUEUED)
        await this.#means.runs.transition(id, RunState.RUN_STATE_FAILED, STOPPED);
      return;
    }
    const [to, reason] = signal.aborted
      ? [RunState.RUN_STATE_CANCELLED, 'the run that needed it ended']
      : [RunState.RUN_STATE_FAILED, inWords(error)];
    this.#means.logger.warn({ run: id, reason: JsigrError.from(error).reason }, reason);
    await this.#means.runs.transition(id, to, reason);
  }
}
