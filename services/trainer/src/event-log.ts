import {
  type ResumePoint,
  type RunEvent,
  RunEvent as RunEventMessage,
  type TrainingOutcome,
  type WatchTrainingResponse,
} from '@jsigr/proto';
import { Condition } from '@jsigr/service';

type Payload = NonNullable<RunEvent['payload']>;

/** Of the newest so many events all are kept; of older ones those alone that are no progress, or that nobody was told yet. */
const MOST_PROGRESS = 1000;

/**
 * The events of one run, numbered from 1, kept for whoever comes back; from where it can go on; and in the end the outcome. Old progress is forgotten: it
 * comes four times a second, for as long as the run takes.
 */
export class EventLog {
  /** By their numbers, ascending. */
  readonly #events = new Map<number, RunEvent>();
  /** The newest number. */
  #last = 0;
  /** The newest that a watcher was told. */
  #told = 0;
  /** Up to here progress is forgotten. */
  #forgotten = 0;
  readonly #changed = new Condition();
  readonly #now: () => Date;
  /** With the number of events that must be taken before. */
  #resumePoint: { readonly point: ResumePoint; readonly events: number } | undefined;
  #outcome: TrainingOutcome | undefined;
  #watchers = 0;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  get outcome(): TrainingOutcome | undefined {
    return this.#outcome;
  }

  append(payload: Payload): void {
    const sequence = ++this.#last;
    this.#events.set(sequence, { ...RunEventMessage.fromPartial({}), sequence, time: this.#now(), payload });
    this.#forget();
    this.#changed.notify();
  }

  /** Only the newest is told: what was told before is of no use any more. */
  keep(point: ResumePoint): void {
    this.#resumePoint = { point, events: this.#last };
    this.#changed.notify();
  }

  #forget(): void {
    const until = Math.min(this.#told, this.#last - MOST_PROGRESS);
    while (this.#forgotten < until) {
      const sequence = ++this.#forgotten;
      if (this.#events.get(sequence)?.payload?.$case === 'trainingProgress') this.#events.delete(sequence);
    }
  }

  /** The first event after a number; there is one where that is not the newest. */
  #after(sequence: number): RunEvent | undefined {
    for (let at = sequence + 1; at <= this.#last; at++) {
      const event = this.#events.get(at);
      if (event) return event;
    }
    return undefined;
  }

  /** The last thing that is said; a second outcome is ignored. */
  close(outcome: TrainingOutcome): void {
    this.#outcome ??= outcome;
    this.#changed.notify();
  }

  /** Resolves once the outcome is there and nobody is still being told, at the latest after `timeoutMs`. */
  async told(timeoutMs: number): Promise<void> {
    await this.#changed.until(() => this.#outcome !== undefined && this.#watchers === 0, { timeoutMs });
  }

  /** Events after a sequence number, those to come included, but for progress that is forgotten; ends with the outcome. */
  async *watch(afterSequence: number, signal: AbortSignal): AsyncGenerator<WatchTrainingResponse> {
    this.#watchers++;
    try {
      yield* this.#watch(afterSequence, signal);
    } finally {
      this.#watchers--;
      this.#changed.notify();
    }
  }

  async *#watch(afterSequence: number, signal: AbortSignal): AsyncGenerator<WatchTrainingResponse> {
    let next = afterSequence;
    let told: ResumePoint | undefined;
    const due = () => {
      const kept = this.#resumePoint;
      return kept && kept.point !== told && kept.events <= next ? kept.point : undefined;
    };
    for (;;) {
      const news = () => next < this.#last || due() !== undefined || this.#outcome !== undefined;
      await this.#changed.until(news, { signal });
      const resumePoint = due();
      const event = this.#after(next);
      if (resumePoint) {
        told = resumePoint;
        yield { event: undefined, resumePoint, outcome: undefined };
      } else if (event) {
        next = event.sequence;
        this.#told = Math.max(this.#told, next);
        yield { event, resumePoint: undefined, outcome: undefined };
      } else if (this.#outcome) return yield { event: undefined, resumePoint: undefined, outcome: this.#outcome };
    }
  }
}
