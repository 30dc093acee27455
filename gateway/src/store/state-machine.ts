import { RunState } from '@jsigr/proto';

const { RUN_STATE_QUEUED: QUEUED, RUN_STATE_STARTING: STARTING, RUN_STATE_RUNNING: RUNNING } = RunState;
const { RUN_STATE_SUCCEEDED: SUCCEEDED, RUN_STATE_FAILED: FAILED, RUN_STATE_CANCELLED: CANCELLED } = RunState;

/**
 *     QUEUED ──> STARTING ──> RUNNING ──> SUCCEEDED
 *        └──────────┴────────────┴──────> FAILED, CANCELLED
 *
 * STARTING may follow STARTING: it takes minutes when surrogates are trained first, and its reason says what is being waited for. It follows
 * RUNNING when the worker is gone and another one goes on. RUNNING follows RUNNING when that is one of several. STARTING and RUNNING become QUEUED again when the gateway stops (the next one
 * goes on) or the run is suspended; QUEUED follows QUEUED when that ends, or begins before its turn.
 */
const successors: Partial<Record<RunState, readonly RunState[]>> = {
  [QUEUED]: [QUEUED, STARTING, FAILED, CANCELLED],
  [STARTING]: [QUEUED, STARTING, RUNNING, FAILED, CANCELLED],
  [RUNNING]: [QUEUED, STARTING, RUNNING, SUCCEEDED, FAILED, CANCELLED],
  [SUCCEEDED]: [],
  [FAILED]: [],
  [CANCELLED]: [],
};

export const runStates: readonly RunState[] = [QUEUED, STARTING, RUNNING, SUCCEEDED, FAILED, CANCELLED];
export const activeStates: readonly RunState[] = runStates.filter((state) => !isFinal(state));

export function mayFollow(from: RunState, to: RunState): boolean {
  return successors[from]?.includes(to) ?? false;
}

/** Nothing happens to a run in a final state any more: no transition, no event. */
export function isFinal(state: RunState): boolean {
  return successors[state]?.length === 0;
}

/** For people: `RUN_STATE_RUNNING` is RUNNING. */
export function stateName(state: RunState): string {
  return state.replace('RUN_STATE_', '');
}
