/** The trainer's compute thread. */
import { attackNamed, attacks } from '@jsigr/attacks';
import { decodeDataset } from '@jsigr/datasets';
import { type FixedNetwork, planTraining, type TrainingEvent, train } from '@jsigr/defenses';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import { decodeCheckpoint, encodeCheckpoint, openNetwork } from '@jsigr/models';
import { type ComputeContext, movable, serveCompute } from '@jsigr/service/compute';
import { FeedbackPool } from './feedback-pool.ts';
import type { NetworkFiles, TrainArgument, TrainEvent, TrainerMethods } from './methods.ts';
import { ProgressMeter } from './progress.ts';

let stopping = false;
let pausing = false;
/** Checkpoints and states that may wait to be stored: where the store is slow, training waits for it instead of filling the memory. */
const MOST_WAITING = 2;
/** How soon a training that waits for the store sees that it is to end, in milliseconds. */
const LOOK_MS = 100;
/** Of the training in progress. */
let pool: FeedbackPool | undefined;
/** One for the life of the thread: a second run of the same shapes need not be compiled again. */
let engine: Promise<Engine> | undefined;

serveCompute<TrainerMethods>({
  async check({ config, selectingAttacks, adapts }) {
    const { objective } = planTraining(config);
    if (adapts && !objective.ramp)
      throw invalidLoop('loop.feedback', `${config.objective?.name} has no penalties that could follow the reports`);
    if (selectingAttacks) checkSelection(selectingAttacks);
  },
  async feedback(argument) {
    if (!pool) throw new Error('nothing is being trained');
    return { examples: pool.take(argument) };
  },
  async stop() {
    stopping = true;
  },
  async pause() {
    pausing = true;
  },
  async train(argument: TrainArgument, context) {
    const { run, config, datasetDigest, dataset, networks, compute, resume, feedback, stateMs, stored } = argument;
    [stopping, pausing] = [false, false];
    let kept = performance.now();
    let made = 0;
    const tell = teller(context, () => {
      kept = performance.now();
      made++;
    });
    engine ??= createAnnouncedEngine(compute);
    const { initial, teacher, surrogates } = networks;
    const data = decodeDataset(dataset);
    const taken = new FeedbackPool(data);
    taken.take(feedback);
    pool = taken;
    const options = {
      run,
      datasetDigest,
      signal: context.signal,
      shouldStop: () => stopping,
      shouldPause: () => pausing,
      shouldKeep: () => performance.now() - kept >= stateMs,
      feedback: () => taken.feedback,
      ...(resume ? { resume: decodeCheckpoint(resume) } : {}),
      ...(initial ? { initial: await fixedNetwork(initial) } : {}),
      ...(teacher ? { teacher: await fixedNetwork(teacher) } : {}),
      surrogates: await Promise.all(surrogates.map(fixedNetwork)),
    };
    for await (const event of train(await engine, config, data, options)) {
      tell(event);
      await storedUpTo(stored, made - MOST_WAITING, context.signal);
      if (event.type === 'finished') return { reason: event.reason, step: event.step };
    }
    throw new Error('training ended without its last event');
  },
});

/** Waits until so many were stored. */
async function storedUpTo(stored: Int32Array, count: number, signal: AbortSignal): Promise<void> {
  for (let seen = Atomics.load(stored, 0); seen < count; seen = Atomics.load(stored, 0)) {
    signal.throwIfAborted();
    await Atomics.waitAsync(stored, 0, seen, LOOK_MS).value;
  }
}

async function fixedNetwork({ name, files }: NetworkFiles): Promise<FixedNetwork> {
  return { id: name, ...(await openNetwork(files)) };
}

/** A model is selected by transferred examples: some attack must make them. */
function checkSelection(names: readonly string[]): void {
  const field = 'loop.plan.attacks';
  if (names.some((name, i) => attackNamed(name, `${field}[${i}].attack`).access === 'transfer')) return;
  const known = Object.values(attacks)
    .filter(({ access }) => access === 'transfer')
    .map(({ name }) => name);
  throw invalidLoop(field, `a model is selected by transferred examples: the plan needs one of ${known.join(', ')}`);
}

function invalidLoop(field: string, message: string): Error {
  return Object.assign(new Error(message), { reason: 'INVALID_PLAN', field });
}

/**
 * Events of training as events of the thread: steps are gathered, checkpoints encoded and moved.
 * @param onKept called when there is a new state to go on from
 */
function teller({ emit }: ComputeContext<TrainEvent>, onKept: () => void): (event: TrainingEvent) => void {
  const meter = new ProgressMeter();
  const tellProgress = (progress: TrainEvent | undefined) => progress && emit(progress);
  return (event) => {
    const now = performance.now();
    if (event.type === 'step') tellProgress(meter.add(event, now));
    else tellProgress(meter.flush(now));
    if (event.type === 'epoch') {
      const {
        epoch,
        trainLoss,
        trainTerms,
        trainAccuracy,
        heldOutAccuracy,
        probe,
        penaltyFactor,
        seconds,
        maskSeconds,
      } = event;
      emit({
        type: 'epoch',
        epoch,
        metrics: {
          loss: trainLoss,
          ...trainTerms,
          train_accuracy: trainAccuracy,
          ...(heldOutAccuracy === undefined ? {} : { held_out_accuracy: heldOutAccuracy }),
          ...probe,
          ...(penaltyFactor === 1 ? {} : { penalty_factor: penaltyFactor }),
          mask_seconds: maskSeconds,
        },
        seconds,
      });
    }
    if (event.type === 'checkpoint') {
      const { files, buffers } = movable(encodeCheckpoint(event.checkpoint));
      const { step, epoch, metrics } = event.checkpoint;
      emit({ type: 'checkpoint', step, epoch, heldOutAccuracy: metrics.heldOutAccuracy ?? 0, files }, buffers);
      onKept();
    }
    if (event.type === 'state' || (event.type === 'finished' && event.reason === 'paused')) {
      const { files, buffers } = movable(encodeCheckpoint(event.checkpoint));
      emit({ type: 'state', step: event.checkpoint.step, files }, buffers);
      onKept();
    }
  };
}
