import {
  type ResumePoint,
  type RunEvent,
  type StartTrainingRequest,
  TrainerServiceClient,
  type TrainingOutcome,
} from '@jsigr/proto';
import { connect, JsigrError, serverStream, unary, unavailable } from '@jsigr/service';
import { explained, isBroken, lossOf } from '../workers/far-side.ts';
import type { Worker } from '../workers/pool.ts';

const START_MS = 60_000;
const STOP_MS = 1500;
const HAND_BACK_MS = 60_000;
/** Attempts to take up the events again while the trainer is there; then its silence is an error. */
const ATTEMPTS = 5;

/** What becomes of what the trainer says. */
export interface Taking {
  readonly event: (event: RunEvent) => Promise<void>;
  readonly resumePoint: (point: ResumePoint) => Promise<void>;
}

/** The conductor's side of one trainer. */
export class TrainerCalls {
  readonly #client: TrainerServiceClient;
  readonly #lost: AbortSignal;
  /** The trainer's own sequence number of the newest event that was taken over. */
  #last: number;

  /** @param afterSequence of the trainer's events those that were taken over before */
  constructor(worker: Worker, afterSequence = 0) {
    this.#last = afterSequence;
    this.#client = connect(TrainerServiceClient, worker);
    this.#lost = lossOf(worker);
  }

  async start(request: StartTrainingRequest, signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#lost]);
    try {
      await unary(this.#client, 'startTraining', request, { signal: both, deadlineMs: START_MS });
    } catch (error) {
      signal.throwIfAborted();
      throw await explained(error, this.#lost);
    }
  }

  /**
   * Takes over every event once, in order, at the store's pace, and returns how training ended. A connection that breaks is taken up after the
   * last event. @throws JsigrError WORKER_LOST with what became of the trainer; what `take` throws; the signal's reason.
   */
  async follow(run: string, take: Taking, signal: AbortSignal): Promise<TrainingOutcome> {
    for (let failures = 0; ; ) {
      const before = this.#last;
      const broken = await this.#read(run, take, signal);
      if (!(broken instanceof JsigrError)) return broken;
      failures = this.#last > before ? 1 : failures + 1;
      if (failures > ATTEMPTS) throw broken;
    }
  }

  /** One stream to its end: the outcome, or how the connection broke. */
  async #read(run: string, take: Taking, signal: AbortSignal): Promise<TrainingOutcome | JsigrError> {
    const request = { run, afterSequence: this.#last };
    const events = serverStream(this.#client, 'watchTraining', request, {
      signal: AbortSignal.any([signal, this.#lost]),
    });
    for (;;) {
      const next = await events.next().catch((error: unknown) => JsigrError.from(error));
      signal.throwIfAborted();
      if (next instanceof JsigrError) return this.#judge(next);
      if (next.done) return unavailable('NO_OUTCOME', 'the trainer ended its events without saying how training ended');
      const { event, outcome, resumePoint } = next.value;
      if (event && event.sequence > this.#last) {
        await take.event(event);
        this.#last = event.sequence;
      }
      if (resumePoint) await take.resumePoint(resumePoint);
      if (outcome) {
        await events.return();
        return outcome;
      }
    }
  }

  /** A broken connection may be taken up again; anything else ends the run. */
  async #judge(error: JsigrError): Promise<JsigrError> {
    const why = await explained(error, this.#lost);
    if (isBroken(why)) return why;
    throw why;
  }

  /** Tells the trainer to stop; whether it heard is for the pool to see to. */
  async stop(run: string): Promise<void> {
    await unary(this.#client, 'stopTraining', { run, handBack: false }, { deadlineMs: STOP_MS }).catch(() => undefined);
  }

  /** Has the trainer keep its state and end; the outcome says so. Never rejects. */
  async handBack(run: string): Promise<void> {
    await unary(this.#client, 'stopTraining', { run, handBack: true }, { deadlineMs: HAND_BACK_MS }).catch(
      () => undefined,
    );
  }

  /** Tells the trainer that nobody will report any more. Never rejects. */
  async endFollowing(run: string): Promise<void> {
    await unary(this.#client, 'endFollowing', { run }, { deadlineMs: STOP_MS }).catch(() => undefined);
  }

  close(): void {
    this.#client.close();
  }
}
