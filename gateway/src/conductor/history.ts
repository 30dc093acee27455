import { type CheckpointSelected, EarlierCheckpoint, type RunEvent } from '@jsigr/proto';
import type { RunStore } from '../store/runs.ts';

/** What a training run's events say so far, for the trainer that goes on and for the journal that follows it. */
export interface History {
  /** In the order of their sequence numbers. */
  readonly checkpoints: readonly EarlierCheckpoint[];
  readonly selected: CheckpointSelected | undefined;
  /** Reports after that choice; all of them where nothing was chosen. */
  readonly reportsSince: number;
  /** The newest factor of the penalties that reports made; 0: none did. */
  readonly penaltyFactor: number;
  /** Best clean accuracy of a report, 0..1; 0: there was none. */
  readonly bestClean: number;
  /** Newest epoch that was completed; 0: none. */
  readonly epoch: number;
  /** Newest step that progress was told of; 0: none. */
  readonly step: number;
}

const KINDS = [
  'checkpointSaved',
  'checkpointSelected',
  'robustnessReported',
  'feedbackTaken',
  'checkpointsSkipped',
  'epochCompleted',
] as const;

export async function readHistory(runs: RunStore, id: string): Promise<History> {
  const { summary } = await runs.get('training', id);
  const settled = new Set<string>();
  const saved: EarlierCheckpoint[] = [];
  let selected: CheckpointSelected | undefined;
  let [epoch, reportsSince, penaltyFactor, bestClean] = [0, 0, 0, 0];
  for await (const { payload } of eventsOf(runs, id)) {
    if (payload?.$case === 'checkpointSaved') saved.push(EarlierCheckpoint.fromPartial({ saved: payload.value }));
    if (payload?.$case === 'checkpointSelected') [selected, reportsSince] = [payload.value, 0];
    if (payload?.$case === 'epochCompleted') epoch = payload.value.epoch;
    if (payload?.$case === 'robustnessReported') {
      settled.add(payload.value.model);
      reportsSince++;
      const { trials = 0, value = 0 } = payload.value.cleanAccuracy ?? {};
      if (trials > 0) bestClean = Math.max(bestClean, value);
    }
    if (payload?.$case === 'feedbackTaken') penaltyFactor = payload.value.penaltyFactor || penaltyFactor;
    if (payload?.$case === 'checkpointsSkipped') for (const model of payload.value.models) settled.add(model);
  }
  const { step } = (summary.progress ?? {}) as { step?: number | string };
  return {
    checkpoints: saved.map((each) => ({ ...each, settled: settled.has(each.saved?.model ?? '') })),
    selected,
    reportsSince,
    penaltyFactor,
    bestClean,
    epoch,
    step: Number(step ?? 0),
  };
}

async function* eventsOf(runs: RunStore, id: string): AsyncGenerator<RunEvent> {
  for (let last = 0; ; ) {
    const events = await runs.events(id, last, KINDS);
    if (events.length === 0) return;
    yield* events;
    last = events.at(-1)?.sequence ?? last;
  }
}
