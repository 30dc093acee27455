import { setImmediate } from 'node:timers/promises';
import { type Dataset, epochOrder } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { accuracy, type Checkpoint } from '@jsigr/models';
import type { TrainingConfig } from './config.ts';
import { TrainingError } from './errors.ts';
import type { EpochEvent, FinishedEvent, StepEvent, TrainingEvent } from './events.ts';
import { checkFinite } from './guards.ts';
import { alarmOf, probed } from './probe.ts';
import { prepareRun, type TrainingOptions, type TrainingRun } from './run.ts';
import { refreshIsDue, type SaliencyMaps, saliencyOfSplit } from './saliency-cache.ts';
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
  let maps: SaliencyMaps | undefined;
  let last = options.resume;
  let early = isStale(run, start);
  /** The end of the last epoch at which all was well: what is kept when training breaks down. */
  let good: { readonly state: TrainingState; readonly metrics: Record<string, number> } | undefined;
  try {
    for (
      let epoch = Math.floor(state.step / stepsPerEpoch);
      state.step < totalSteps && !stopping() && !early;
      epoch++
    ) {
      const started = now();
      ({ maps, state } = await refreshed(run, state, epoch, maps));
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
      checkFinite(state.parameters, state.step);
      const heldOut = await heldOutAccuracy(run, state);
      const probe = await probed(run, state);
      const times = () => ({ maskSeconds, seconds: (now() - started) / 1000 });
      const event = epochEvent(epoch + 1, steps, { probe, heldOut }, times());
      yield event;
      const alarm = alarmOf(run, state, probe.measured);
      if (alarm) throw new TrainingError('CATASTROPHIC_OVERFITTING', 'objective', alarm, { step: state.step });
      state = withBest(run, { ...state, peaks: probe.peaks }, heldOut);
      early = isStale(run, state);
      good = { state, metrics: metricsOf(event) };
      if (early || state.step >= totalSteps || stopping() || (epoch + 1) % checkpointEveryEpochs === 0) {
        last = makeCheckpoint(run, state, good.metrics);
        yield { type: 'checkpoint', checkpoint: last };
      }
    }
  } catch (error) {
    if (error instanceof TrainingError && good && good.state.step !== last?.step)
      yield { type: 'checkpoint', checkpoint: makeCheckpoint(run, good.state, good.metrics) };
    throw error;
  }
  if (last?.step !== state.step) {
    last = makeCheckpoint(run, state, {});
    yield { type: 'checkpoint', checkpoint: last };
  }
  const reason = early ? 'stopped-early' : state.step >= totalSteps ? 'completed' : 'stopped';
  // A run that was told to stop may go on later: it needs the state of its last step.
  if (reason !== 'stopped' && state.best && state.best.step !== state.step) {
    last = bestCheckpoint(run, state.best);
    yield { type: 'checkpoint', checkpoint: last };
  }
  yield { type: 'finished', reason, step: state.step, checkpoint: last };
}

/** The saliency maps of this epoch: new ones where they are due, those of before else, or after an interruption those made again. */
async function refreshed(
  run: TrainingRun,
  state: TrainingState,
  epoch: number,
  maps: SaliencyMaps | undefined,
): Promise<{ maps: SaliencyMaps | undefined; state: TrainingState }> {
  const { plan, stepsPerEpoch, teacher } = run;
  const wanted = plan.objective.saliency;
  if (!wanted || epoch < wanted.warmupEpochs) return { maps, state };
  const due = refreshIsDue(wanted, epoch) && state.step % stepsPerEpoch === 0;
  if (maps && !due) return { maps, state };
  if (teacher) return { maps: await mapsOf(run, teacher), state };
  const mapped = due ? state.parameters : state.mapped;
  if (!mapped)
    throw new TrainingError(
      'INVALID_SETTING',
      'resume',
      `the checkpoint of step ${state.step} lacks the network that its saliency maps were made with`,
    );
  return { maps: await mapsOf(run, classifierOf(run, { parameters: mapped })), state: { ...state, mapped } };
}

function mapsOf(run: TrainingRun, classifier: ReturnType<typeof classifierOf>): Promise<SaliencyMaps> {
  const { engine, plan, options, dataset, train, estimate } = run;
  const { stride = 1, signedThreshold } = plan.objective.saliency ?? {};
  return saliencyOfSplit({ engine, classifier, estimate }, dataset.train, train, {
    stride,
    seed: plan.config.seed,
    signed: signedThreshold !== undefined,
    ...(options.signal ? { signal: options.signal } : {}),
  });
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

function epochEvent(
  epoch: number,
  steps: readonly StepEvent[],
  { probe, heldOut }: { readonly probe: { measured: EpochEvent['probe'] }; readonly heldOut: number | undefined },
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
    ...(heldOut === undefined ? {} : { heldOutAccuracy: heldOut }),
    probe: probe.measured,
    ...times,
  };
}

function metricsOf({ trainLoss, trainAccuracy, heldOutAccuracy, probe, seconds }: EpochEvent): Record<string, number> {
  const heldOut: Record<string, number> = heldOutAccuracy === undefined ? {} : { heldOutAccuracy };
  return { trainLoss, trainAccuracy, ...heldOut, ...probe, epochSeconds: seconds };
}

/** Once true, true for good: a caller's flag is not read as several answers. */
function latch(ask: () => boolean): () => boolean {
  let answer = false;
  return () => {
    answer ||= ask();
    return answer;
  };
}
