import {
  type ResumePoint,
  type RunEvent,
  RunEvent as RunEventMessage,
  type TrainingOutcome,
  type WatchTrainingResponse,
} from '@jsigr/proto';
import { Condition } from '@jsigr/service';

type Payload = NonNullable<RunEvent['payload']>;

/** The events of one run, numbered from 1 without gaps, kept for whoever comes back; from where it can go on; and in the end the outcome. */
export class EventLog {
  readonly #events: RunEvent[] = [];
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
    this.#events.push({
      ...RunEventMessage.fromPartial({}),
      sequence: this.#events.length + 1,
      time: this.#now(),
      payload,
    });
    this.#changed.notify();
  }

  /** Only the newest is told: what was told before is of no use any more. */
  keep(point: ResumePoint): void {
    this.#resumePoint = { point, events: this.#events.length };
    this.#changed.notify();
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

  /** Events after a sequence number, those to come included; ends with the outcome. */
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
      const news = () => next < this.#events.length || due() !== undefined || this.#outcome !== undefined;
      await this.#changed.until(news, { signal });
      const resumePoint = due();
      if (resumePoint) {
        told = resumePoint;
        yield { event: undefined, resumePoint, outcome: undefined };
      } else if (next < this.#events.length) {
        yield { event: this.#events[next++], resumePoint: undefined, outcome: undefined };
      } else if (this.#outcome) return yield { event: undefined, resumePoint: undefined, outcome: this.#outcome };
    }
  }
}
