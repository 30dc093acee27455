import { Condition } from '@jsigr/service';

/** Runs whose newest event is remembered. */
const MOST = 10_000;

/** Who waits for a run's next event, whoever writes it. */
export class RunChanges {
  /** Newest sequence numbers of the runs that changed last, in the order of their last change. */
  readonly #heads = new Map<string, number>();
  readonly #changed = new Condition();
  /** Grows when something may have been missed: whoever waits looks for itself. */
  #gaps = 0;

  note(run: string, sequence: number): void {
    if ((this.#heads.get(run) ?? 0) >= sequence) return;
    this.#heads.delete(run);
    this.#heads.set(run, sequence);
    if (this.#heads.size > MOST) this.#forgetHalf();
    this.#changed.notify();
  }

  #forgetHalf(): void {
    for (const run of [...this.#heads.keys()].slice(0, MOST / 2)) this.#heads.delete(run);
    this.#gaps++;
  }

  noteGap(): void {
    this.#gaps++;
    this.#changed.notify();
  }

  /** To be kept before one looks, and given to `after`: what is missed between the two is noticed. */
  get gaps(): number {
    return this.#gaps;
  }

  /** Waits until the run has an event after this one, or may have one. @throws the signal's reason once it is aborted. */
  async after(
    run: string,
    sequence: number,
    { gaps = this.#gaps, signal }: { readonly gaps?: number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const changed = () => (this.#heads.get(run) ?? 0) > sequence || this.#gaps > gaps;
    await this.#changed.until(changed, signal ? { signal } : {});
  }
}

export const messageOf = (run: string, sequence: number): string => `${run} ${sequence}`;

export function readMessage(message: string): readonly [run: string, sequence: number] {
  const [run = '', sequence = ''] = message.split(' ');
  return [run, Number(sequence)];
}
