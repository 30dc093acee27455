import { setImmediate } from 'node:timers/promises';
import { type Dataset, epochOrder } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { accuracy, type Checkpoint } from '@jsigr/models';
import type { TrainingConfig } from './config.ts';
import type { EpochEvent, FinishedEvent, StepEvent, TrainingEvent } from './events.ts';
import {
  classifierOf,
  makeCheckpoint,
  prepareRun,
  startState,
  type TrainingOptions,
  type TrainingRun,
  type TrainingState,
} from './run.ts';
import { perturbationMaps, refreshIsDue, saliencyOfSplit } from './saliency-cache.ts';
import { Stepper } from './stepper.ts';

/**
 * Trains a classifier, as a stream of events; the last one is `finished`. Equal configurations, data and engines (kind, version, threads)
 * give bit-identical weights. The test images are never read.
 * @throws ModelError or TrainingError before the first event for a bad configuration; TrainingError NOT_FINITE or DIVERGED naming step and
 * loss term; the signal's reason once it is aborted.
 */
export async function* train(
  engine: Engine,
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainingOptions = {},
): AsyncGenerator<TrainingEvent, void> {
  const run = prepareRun(engine, config, dataset, options);
  const stepper = new Stepper(run);
  try {
    yield* epochs(run, stepper, startState(run));
  } finally {
    await stepper.release();
  }
}

/** Trains to the end and returns the last checkpoint; `onEvent` sees every event. For surrogates, scripts and tests. */
export async function trainToEnd(
  engine: Engine,
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainingOptions & { readonly onEvent?: (event: TrainingEvent) => void } = {},
): Promise<Checkpoint> {
  let finished: FinishedEvent | undefined;
  for await (const event of train(engine, config, dataset, options)) {
    options.onEvent?.(event);
    if (event.type === 'finished') finished = event;
  }
  if (!finished) throw new Error('training ended without its last event');
  return finished.checkpoint;
}

async function* epochs(run: TrainingRun, stepper: Stepper, start: TrainingState): AsyncGenerator<TrainingEvent, void> {
  const { plan, options, stepsPerEpoch, totalSteps } = run;
  const { batchSize, seed, checkpointEveryEpochs } = plan.config;
  const now = options.now ?? (() => performance.now());
  const stopping = latch(() => options.shouldStop?.() ?? false);
  let state = start;
  let maps: Uint8Array | undefined;
  let last = options.resume;
  for (let epoch = Math.floor(state.step / stepsPerEpoch); state.step < totalSteps && !stopping(); epoch++) {
    const started = now();
    maps = await refreshedMaps(run, state, epoch, maps);
    const maskSeconds = (now() - started) / 1000;
    const order = epochOrder(run.train.length, seed, epoch).map((position) => run.train[position] ?? 0);
    const steps: StepEvent[] = [];
    for (let at = state.step % stepsPerEpoch; at < stepsPerEpoch && state.step < totalSteps && !stopping(); at++) {
      const made = await stepper.step(state, maps, order.subarray(at * batchSize, (at + 1) * batchSize));
      state = made.state;
      steps.push(made.event);
      yield made.event;
      // The engine's runs are synchronous: without a turn of the event loop no signal, timer or request would ever get in.
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    if (steps.length === 0) break;
    const heldOut = await heldOutAccuracy(run, state);
    const event = epochEvent(epoch + 1, steps, heldOut, { maskSeconds, seconds: (now() - started) / 1000 });
    yield event;
    if (state.step >= totalSteps || stopping() || (epoch + 1) % checkpointEveryEpochs === 0) {
      last = makeCheckpoint(run, state, metricsOf(event));
      yield { type: 'checkpoint', checkpoint: last };
    }
  }
  if (last?.step !== state.step) {
    last = makeCheckpoint(run, state, {});
    yield { type: 'checkpoint', checkpoint: last };
  }
  const reason = state.step >= totalSteps ? 'completed' : 'stopped';
  yield { type: 'finished', reason, step: state.step, checkpoint: last };
}

/** The saliency maps of this epoch: new ones where they are due, or lost by an interruption, else the ones of before. */
async function refreshedMaps(
  run: TrainingRun,
  state: TrainingState,
  epoch: number,
  maps: Uint8Array | undefined,
): Promise<Uint8Array | undefined> {
  const { engine, plan, options, dataset, train } = run;
  const wanted = plan.objective.saliency;
  if (!wanted || epoch < wanted.warmupEpochs || (maps && !refreshIsDue(wanted, epoch))) return maps;
  return saliencyOfSplit(
    { engine, classifier: classifierOf(run, state), estimate: options.saliency ?? perturbationMaps },
    dataset.train,
    train,
    { stride: wanted.stride, ...(options.signal ? { signal: options.signal } : {}) },
  );
}

async function heldOutAccuracy(run: TrainingRun, state: TrainingState): Promise<number | undefined> {
  const { engine, heldOut, options } = run;
  if (heldOut.count === 0) return undefined;
  return accuracy(engine, classifierOf(run, state), heldOut, options.signal ? { signal: options.signal } : {});
}

function epochEvent(
  epoch: number,
  steps: readonly StepEvent[],
  heldOutAccuracy: number | undefined,
  times: { readonly seconds: number; readonly maskSeconds: number },
): EpochEvent {
  const mean = (of: (step: StepEvent) => number) => steps.reduce((sum, step) => sum + of(step), 0) / steps.length;
  const last = steps.at(-1);
  const names = Object.keys(last?.terms ?? {});
  return {
    type: 'epoch',
    epoch,
    step: last?.step ?? 0,
    trainLoss: mean(({ loss }) => loss),
    trainTerms: Object.fromEntries(names.map((name) => [name, mean(({ terms }) => terms[name] ?? 0)])),
    trainAccuracy: mean(({ accuracy }) => accuracy),
    ...(heldOutAccuracy === undefined ? {} : { heldOutAccuracy }),
    ...times,
  };
}

function metricsOf({ trainLoss, trainAccuracy, heldOutAccuracy, seconds }: EpochEvent): Record<string, number> {
  const heldOut: Record<string, number> = heldOutAccuracy === undefined ? {} : { heldOutAccuracy };
  return { trainLoss, trainAccuracy, ...heldOut, epochSeconds: seconds };
}

/** Once true, true for good: a caller's flag is not read as several answers. */
function latch(ask: () => boolean): () => boolean {
  let answer = false;
  return () => {
    answer ||= ask();
    return answer;
  };
}
