import {
  type RunEvent,
  RunEvent as RunEventMessage,
  type TrainingOutcome,
  type WatchTrainingResponse,
} from '@jsigr/proto';
import { Condition } from '@jsigr/service';

type Payload = NonNullable<RunEvent['payload']>;

/** The events of one run, numbered from 1 without gaps, kept for whoever comes back; and in the end the outcome. */
export class EventLog {
  readonly #events: RunEvent[] = [];
  readonly #changed = new Condition();
  readonly #now: () => Date;
  #outcome: TrainingOutcome | undefined;

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

  /** The last thing that is said; a second outcome is ignored. */
  close(outcome: TrainingOutcome): void {
    this.#outcome ??= outcome;
    this.#changed.notify();
  }

  /** Events after a sequence number, those to come included; ends with the outcome. */
  async *watch(afterSequence: number, signal: AbortSignal): AsyncGenerator<WatchTrainingResponse> {
    let next = afterSequence;
    for (;;) {
      await this.#changed.until(() => next < this.#events.length || this.#outcome !== undefined, { signal });
      while (next < this.#events.length) {
        yield { event: this.#events[next], outcome: undefined };
        next++;
      }
      if (this.#outcome) return yield { event: undefined, outcome: this.#outcome };
    }
  }
}
