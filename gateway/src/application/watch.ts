import type { RunEvent } from '@jsigr/proto';
import { outOfRange } from '@jsigr/service';
import type { RunStore } from '../store/runs.ts';
import type { RunKind } from '../store/schema.ts';
import { isFinal } from '../store/state-machine.ts';

/**
 * The events of a run after a sequence number: those that were, then those that come, each once, in order. Ends after the event of a final state.
 * @throws JsigrError NOT_FOUND; OUT_OF_RANGE when the run has not come so far; the signal's reason.
 */
export async function* watchRun(
  runs: RunStore,
  {
    kind,
    id,
    tenants,
  }: { readonly kind: RunKind; readonly id: string; readonly tenants?: readonly string[] | undefined },
  afterSequence: number,
  signal: AbortSignal,
): AsyncGenerator<RunEvent> {
  const { lastSequence } = await runs.get(kind, id, tenants);
  checkSequence(afterSequence, lastSequence);
  let last = afterSequence;
  for (;;) {
    for (const event of await runs.events(id, last)) {
      yield event;
      last = event.sequence;
    }
    // Nothing follows a final state: what there is was sent, here or to an earlier call.
    const { state, lastSequence: newest } = await runs.get(kind, id);
    if (newest > last) continue;
    if (isFinal(state)) return;
    for await (const event of runs.follow(id, last, signal)) {
      yield event;
      last = event.sequence;
    }
  }
}

/** @throws JsigrError OUT_OF_RANGE for what is not the number of an event that there was, or 0 */
export function checkSequence(afterSequence: number, lastSequence: number): void {
  if (!Number.isInteger(afterSequence) || afterSequence < 0 || afterSequence > lastSequence)
    throw outOfRange('afterSequence', `${afterSequence} given, 0 to ${lastSequence}, the newest event, allowed`);
}
