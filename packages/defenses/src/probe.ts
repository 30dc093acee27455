import { gatherBatch } from '@jsigr/datasets';
import type { TrainingRun } from './run.ts';
import { classifierOf, type TrainingState } from './state.ts';

type Measurements = Readonly<Record<string, number>>;

/** What the objective's probe measures of the network after an epoch, and the largest of everything so far that can be compared. */
export async function probed(
  run: TrainingRun,
  state: TrainingState,
): Promise<{ readonly measured: Measurements; readonly peaks: Measurements }> {
  const { engine, plan, options, dataset, heldOut, network, surrogates, stepsPerEpoch, train } = run;
  const { probe } = plan.objective;
  if (!probe) return { measured: {}, peaks: state.peaks };
  const split = heldOut.count > 0 ? heldOut : dataset.train;
  const pool = heldOut.count > 0 ? Uint32Array.from({ length: heldOut.count }, (_, index) => index) : train;
  const sampleIndices = [...pool.subarray(0, probe.samples)];
  const { images, labels } = gatherBatch(split, sampleIndices, network.model.input);
  const epochs = state.step / stepsPerEpoch;
  const measured = await probe.measure({
    engine,
    // What is trained, not its average, which hides for epochs that it has collapsed.
    classifier: classifierOf(run, state),
    images,
    labels,
    seed: plan.config.seed,
    step: state.step,
    epochs,
    surrogates,
    sampleIndices,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  if (epochs < probe.comparableFrom) return { measured, peaks: state.peaks };
  const peaks = Object.entries(measured).map(([name, value]) => [name, Math.max(value, state.peaks[name] ?? 0)]);
  return { measured, peaks: { ...state.peaks, ...Object.fromEntries(peaks) } };
}

/** Why the probe wants training to end, from the epochs before (their peaks) and this one. */
export function alarmOf({ plan }: TrainingRun, before: TrainingState, measured: Measurements): string | undefined {
  return plan.objective.probe?.alarm(Object.keys(before.peaks).length > 0 ? [before.peaks, measured] : [measured]);
}
