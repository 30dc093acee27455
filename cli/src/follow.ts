import { status } from '@grpc/grpc-js';
import { type RunEvent, RunState } from '@jsigr/proto';
import { JsigrError, unavailable } from '@jsigr/service/client';
import { isFinal } from './terminal/format.ts';
import type { LiveLine } from './terminal/live-line.ts';
import { advance, atStart, noteOf, type Progress, statusLine } from './terminal/progress.ts';
import type { Terminal } from './terminal/terminal.ts';

export interface Followed {
  readonly terminal: Terminal;
  readonly live: LiveLine;
  /** trainingRuns/{id} or evaluations/{id}, for messages. */
  readonly name: string;
  /** Epochs of the run; 0 for an evaluation. */
  readonly epochs: number;
  /** The run's events after a sequence number. */
  readonly watch: (afterSequence: number, signal: AbortSignal) => AsyncIterable<RunEvent>;
  /** Takes another gateway where that of another command ended; says whether it did. Aborting ends it where it is. */
  readonly renew?: (signal: AbortSignal) => Promise<boolean>;
  /** What the first Ctrl-C does; without it the first one leaves. */
  readonly cancel?: () => Promise<unknown>;
  /** Sees each event once, in order. */
  readonly onEvent?: (event: RunEvent) => void;
}

/** Waits between attempts to take up a broken stream again, in milliseconds; afterwards the error is passed on. */
export const RETRY_DELAYS_MS: readonly number[] = [500, 1000, 2000, 4000, 8000];

/** What a stream ends with whose server stops, or was cut off: this side has cancelled nothing. */
const BROKEN: readonly status[] = [status.UNAVAILABLE, status.CANCELLED];

/**
 * Follows a run to its end, live. A stream that breaks is resumed after the last event. The first Ctrl-C cancels the run and
 * waits for its end; the second leaves it.
 * @returns the progress at the end; its state is not final when the user left.
 */
export async function follow(run: Followed): Promise<Progress> {
  const { terminal, live, name, cancel } = run;
  const leaving = new AbortController();
  let interrupts = 0;
  const ask = () => {
    cancel?.().catch((error: unknown) => live.print(`could not cancel: ${JsigrError.from(error).message}`));
  };
  const release = terminal.onInterrupt(() => {
    interrupts++;
    if (interrupts > 1 || !cancel) return leaving.abort();
    live.print(`cancelling ${name}; press Ctrl-C again to leave without waiting`);
    ask();
  });
  const onRenewed = () => {
    live.print(`the gateway was that of another command, which has ended; ${name} goes on with another`);
    // It was asked of the one that ended.
    if (interrupts > 0) ask();
  };
  try {
    return await toTheEnd(run, leaving.signal, onRenewed);
  } finally {
    release();
    live.stop();
  }
}

async function toTheEnd(run: Followed, signal: AbortSignal, onRenewed: () => void): Promise<Progress> {
  const { terminal, live, name, epochs, watch, renew, onEvent } = run;
  let progress = atStart;
  for (let failures = 0; ; ) {
    try {
      for await (const event of watch(progress.sequence, signal)) {
        failures = 0;
        progress = advance(progress, event);
        const note = noteOf(event);
        if (note !== undefined) live.print(note);
        live.update(statusLine(progress, epochs));
        onEvent?.(event);
      }
      if (isFinal(progress.state) || signal.aborted) return progress;
      throw unavailable('STREAM_ENDED', `the gateway ended the events of ${name} before the run had ended`);
    } catch (caught) {
      if (signal.aborted) return progress;
      const error = JsigrError.from(caught);
      const delay = BROKEN.includes(error.code) ? RETRY_DELAYS_MS[failures] : undefined;
      if (delay === undefined) throw error;
      failures++;
      live.update(`${error.message}; trying again`);
      if (await renew?.(signal)) onRenewed();
      else await terminal.wait(delay);
    }
  }
}

/** @throws JsigrError unless the run succeeded: its message and exit code say how it ended. */
export function checkEnd(name: string, { state, reason }: Progress): void {
  if (state === RunState.RUN_STATE_SUCCEEDED) return;
  if (state === RunState.RUN_STATE_CANCELLED) throw failure(status.CANCELLED, 'RUN_CANCELLED', `${name} was cancelled`);
  if (state === RunState.RUN_STATE_FAILED) throw failure(status.UNKNOWN, 'RUN_FAILED', `${name} failed: ${reason}`);
  throw failure(
    status.CANCELLED,
    'LEFT',
    `left ${name} before its end; \`jsigr runs show ${name}\` says what became of it`,
  );
}

function failure(code: status, reason: string, message: string): JsigrError {
  return new JsigrError({ code, reason, message });
}
