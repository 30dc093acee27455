import { setImmediate } from 'node:timers/promises';
import { type Dataset, epochOrder } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { accuracy, type Checkpoint } from '@jsigr/models';
import { SaliencyError } from '@jsigr/saliency';
import type { BatchCompanions } from './batches.ts';
import type { TrainingConfig } from './config.ts';
import { TrainingError } from './errors.ts';
import type { EpochEvent, FinishedEvent, StateEvent, StepEvent, TrainingEvent } from './events.ts';
import { checkFinite } from './guards.ts';
import { alarmOf, probed } from './probe.ts';
import { refreshedMaps, tryMaps } from './refreshed-maps.ts';
import { prepareRun, type TrainingOptions, type TrainingRun } from './run.ts';
import type { SaliencyMaps } from './saliency-maps.ts';
import {
  bestCheckpoint,
  classifierOf,
  evaluatedParameters,
  makeCheckpoint,
  startState,
  type TrainingState,
} from './state.ts';
import { Stepper } from './stepper.ts';

/**
 * Trains a classifier, as a stream of events; the last one is `finished`. Equal configurations, data and engines (kind, version, threads)
 * give bit-identical weights. The test images are never read.
 * @throws ModelError or TrainingError before the first event for a bad configuration; TrainingError NOT_FINITE or DIVERGED naming step and
 * loss term, or CATASTROPHIC_OVERFITTING, after a last checkpoint of the last good epoch; the signal's reason once it is aborted.
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
    const start = startState(run);
    if (start.step === 0) await tryMaps(run, start);
    yield* epochs(run, stepper, start);
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

/** Between two epochs. */
interface Standing {
  readonly state: TrainingState;
  readonly maps: SaliencyMaps | undefined;
  /** Of the epoch that was made last, for its checkpoint. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly last: Checkpoint | undefined;
  /** Early stopping, by held-out accuracy or by the feedback, wants no further epoch. */
  readonly early: boolean;
}

async function* epochs(run: TrainingRun, stepper: Stepper, start: TrainingState): AsyncGenerator<TrainingEvent, void> {
  const { options, totalSteps } = run;
  const pausing = latch(() => options.shouldPause?.() ?? false);
  const stopping = latch(() => pausing() || (options.shouldStop?.() ?? false));
  let standing: Standing = {
    state: start,
    maps: undefined,
    metrics: {},
    last: options.resume,
    early: isStale(run, start),
  };
  try {
    while (standing.state.step < totalSteps && !standing.early && !stopping())
      standing = yield* oneEpoch(run, stepper, standing, { stopping, pausing });
  } catch (error) {
    // The last epoch at which all was well is kept, though its checkpoint may not have been due.
    const { state, metrics, last } = standing;
    const isOurs = error instanceof TrainingError || error instanceof SaliencyError;
    if (isOurs && state.step > 0 && last?.step !== state.step)
      yield { type: 'checkpoint', checkpoint: makeCheckpoint(run, state, metrics) };
    throw error;
  }
  const { state, early } = standing;
  if (pausing() && !early && state.step < totalSteps) {
    const checkpoint =
      standing.last?.step === state.step ? standing.last : makeCheckpoint(run, state, standing.metrics);
    yield { type: 'finished', reason: 'paused', step: state.step, checkpoint };
    return;
  }
  const reason = early ? 'stopped-early' : state.step >= totalSteps ? 'completed' : 'stopped';
  const best = reason === 'stopped' ? undefined : state.best; // what was told to stop may go on later, from its last step
  let { last } = standing;
  if (last?.step !== state.step) {
    last = makeCheckpoint(run, state, standing.metrics);
    yield { type: 'checkpoint', checkpoint: last };
  }
  if (best && best.step !== state.step) {
    last = bestCheckpoint(run, best);
    yield { type: 'checkpoint', checkpoint: last };
  }
  yield { type: 'finished', reason, step: state.step, checkpoint: last };
}

interface Interruptions {
  readonly stopping: () => boolean;
  readonly pausing: () => boolean;
}

/** An epoch, or what is left of it, to its end or until training is to stop. */
async function* oneEpoch(
  run: TrainingRun,
  stepper: Stepper,
  before: Standing,
  { stopping, pausing }: Interruptions,
): AsyncGenerator<TrainingEvent, Standing> {
  const { plan, options, stepsPerEpoch, totalSteps } = run;
  const now = options.now ?? (() => performance.now());
  const started = now();
  const feedback = options.feedback?.() ?? {};
  if (feedback.stop && before.state.step % stepsPerEpoch === 0) return { ...before, early: true };
  const epoch = Math.floor(before.state.step / stepsPerEpoch);
  const begun = before.state.step % stepsPerEpoch > 0 ? before.state : { ...before.state, tally: {} };
  const { maps, state: mapped } = await refreshedMaps(run, begun, epoch, before.maps);
  const maskSeconds = (now() - started) / 1000;
  const { examples } = feedback;
  // The rest of an epoch that was interrupted is made with the penalties that it was begun with.
  const { penaltyFactor = mapped.penaltyFactor, bestClean } = before.state.step % stepsPerEpoch > 0 ? mapped : feedback;
  const start = { ...mapped, penaltyFactor, ...(bestClean === undefined ? {} : { bestClean }) };
  const trained = yield* stepsOf(run, stepper, start, { epoch, maps, examples, stopping });
  if (trained.step === before.state.step) return before;
  checkFinite(trained.parameters, trained.step);
  checkFinite(trained.optimizer, trained.step);
  if (trained.step % stepsPerEpoch > 0 && trained.step < totalSteps && pausing())
    return { state: trained, maps, metrics: {}, last: before.last, early: false };
  const { state, heldOut, measured, alarm } = await judged(run, trained);
  const event = epochEvent(epoch + 1, state, { measured, heldOut }, { maskSeconds, seconds: (now() - started) / 1000 });
  yield event;
  if (alarm) throw new TrainingError('CATASTROPHIC_OVERFITTING', 'objective', alarm, { step: state.step });
  const metrics = metricsOf(event);
  const early = isStale(run, state);
  const after = { state, maps, metrics, early };
  const isDue = (epoch + 1) % plan.config.checkpointEveryEpochs === 0;
  if (!early && !isDue && state.step < totalSteps && !stopping()) return { ...after, last: before.last };
  const last = makeCheckpoint(run, state, metrics);
  yield { type: 'checkpoint', checkpoint: last };
  return { ...after, last };
}

async function* stepsOf(
  run: TrainingRun,
  stepper: Stepper,
  start: TrainingState,
  { epoch, stopping, ...companions }: BatchCompanions & { readonly epoch: number; readonly stopping: () => boolean },
): AsyncGenerator<StepEvent | StateEvent, TrainingState> {
  const { plan, options, stepsPerEpoch, totalSteps, train } = run;
  const { batchSize, seed } = plan.config;
  const order = epochOrder(train.length, seed, epoch).map((position) => train[position] ?? 0);
  let state = start;
  const end = Math.min(stepsPerEpoch, totalSteps - epoch * stepsPerEpoch);
  for (let at = state.step % stepsPerEpoch; at < end && !stopping(); at = state.step - epoch * stepsPerEpoch) {
    const count = Math.min(stepper.turn(), end - at);
    const batches = Array.from({ length: Math.min(2 * count, end - at) }, (_, i) =>
      order.subarray((at + i) * batchSize, (at + i + 1) * batchSize),
    );
    const made = await stepper.steps(state, companions, batches.slice(0, count), batches.slice(count));
    let { tally } = state;
    for (const event of made.events) {
      tally = tallied(tally, event);
      yield event;
      options.signal?.throwIfAborted();
    }
    state = { ...made.state, tally };
    // Not at the end of an epoch: whoever went on from there would begin the next one, and never judge and keep this one.
    if (at + count < end && options.shouldKeep?.()) yield { type: 'state', checkpoint: makeCheckpoint(run, state, {}) };
    // The engine's runs are synchronous: without a turn of the event loop no signal, timer or request would ever get in.
    await setImmediate();
    options.signal?.throwIfAborted();
  }
  return state;
}

/**
 * What is to be said of the network after an epoch, and the state that remembers it. After a part of an epoch nothing is remembered: a run
 * that was interrupted there must judge as one that was not.
 */
async function judged(run: TrainingRun, state: TrainingState) {
  const { stepsPerEpoch, totalSteps } = run;
  const heldOut = await heldOutAccuracy(run, state);
  const { measured, peaks } = await probed(run, state);
  if (state.step % stepsPerEpoch > 0 && state.step < totalSteps) return { state, heldOut, measured };
  return {
    state: withBest(run, { ...state, peaks }, heldOut),
    heldOut,
    measured,
    alarm: alarmOf(run, state, measured),
  };
}

async function heldOutAccuracy(run: TrainingRun, state: TrainingState): Promise<number | undefined> {
  const { engine, heldOut, options } = run;
  if (heldOut.count === 0) return undefined;
  const classifier = classifierOf(run, { parameters: evaluatedParameters(run, state) });
  return accuracy(engine, classifier, heldOut, options.signal ? { signal: options.signal } : {});
}

/** Early stopping: the state with this epoch as the best one, if it is. Of equal epochs the first stays. */
function withBest(run: TrainingRun, state: TrainingState, heldOut: number | undefined): TrainingState {
  if (run.plan.config.techniques.earlyStoppingPatience === 0 || heldOut === undefined) return state;
  if (state.best && heldOut <= state.best.heldOutAccuracy) return state;
  const parameters = evaluatedParameters(run, state);
  return { ...state, best: { parameters, step: state.step, heldOutAccuracy: heldOut } };
}

function isStale({ plan, stepsPerEpoch }: TrainingRun, { best, step }: TrainingState): boolean {
  const patience = plan.config.techniques.earlyStoppingPatience;
  return patience > 0 && best !== undefined && step - best.step >= patience * stepsPerEpoch;
}

const TERM = 'term.';

/** The sums with one step more. */
function tallied(tally: TrainingState['tally'], { loss, accuracy, terms }: StepEvent): TrainingState['tally'] {
  const named = Object.entries(terms).map(([name, value]) => [`${TERM}${name}`, value] as const);
  const all = { steps: 1, loss, accuracy, ...Object.fromEntries(named) };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, (tally[name] ?? 0) + value]));
}

function epochEvent(
  epoch: number,
  { step, tally, penaltyFactor }: TrainingState,
  { measured, heldOut }: { readonly measured: EpochEvent['probe']; readonly heldOut: number | undefined },
  times: { readonly seconds: number; readonly maskSeconds: number },
): EpochEvent {
  const mean = (name: string) => (tally[name] ?? 0) / (tally.steps ?? 1);
  const terms = Object.keys(tally).filter((name) => name.startsWith(TERM));
  return {
    type: 'epoch',
    epoch,
    step,
    trainLoss: mean('loss'),
    trainTerms: Object.fromEntries(terms.map((name) => [name.slice(TERM.length), mean(name)])),
    trainAccuracy: mean('accuracy'),
    ...(heldOut === undefined ? {} : { heldOutAccuracy: heldOut }),
    probe: measured,
    penaltyFactor,
    ...times,
  };
}

/** Without times: equal runs have equal checkpoints. */
function metricsOf({ trainLoss, trainAccuracy, heldOutAccuracy, probe }: EpochEvent): Record<string, number> {
  const heldOut: Record<string, number> = heldOutAccuracy === undefined ? {} : { heldOutAccuracy };
  return { trainLoss, trainAccuracy, ...heldOut, ...probe };
}

/** Once true, true for good: a caller's flag is not read as several answers. */
function latch(ask: () => boolean): () => boolean {
  let answer = false;
  return () => {
    answer ||= ask();
    return answer;
  };
}
