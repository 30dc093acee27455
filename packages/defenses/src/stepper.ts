import { type Compiled, type NdArray, scalar, type Tree } from '@jsigr/engine';
import { specsOf, statisticNames, trainingForwardOf } from '@jsigr/models';
import { makeBatch, type TrainingBatch } from './batches.ts';
import type { StepEvent } from './events.ts';
import { checkLoss } from './guards.ts';
import type { BoundObjective, PreparedBatch } from './objectives/objective.ts';
import { correctFraction } from './objectives/overfitting.ts';
import type { TrainingRun } from './run.ts';
import type { SaliencyMaps } from './saliency-cache.ts';
import { classifierOf, type TrainingState } from './state.ts';
import { type StepInputs, type StepOutputs, trainingStep } from './training-step.ts';

/** How much an older step counts against a newer one in the throughput. */
const SMOOTHING = 0.9;

/** Makes the steps of a run with one compiled function, and measures them. */
export class Stepper {
  private readonly run: TrainingRun;
  private readonly now: () => number;
  private readonly traced: ReturnType<typeof trainingStep>;
  private compiled: Compiled | undefined;
  private stepSeconds: number | undefined;

  constructor(run: TrainingRun) {
    this.run = run;
    this.now = run.options.now ?? (() => performance.now());
    const network = { forward: trainingForwardOf(run.model), statistics: statisticNames(run.model) };
    this.traced = trainingStep(network, run.plan.objective, run.plan.optimizer, run.techniques);
  }

  /**
   * One step on the images with these indices.
   * @param maps saliency of all training images, where there is one
   * @throws TrainingError NOT_FINITE, DIVERGED
   */
  async step(
    state: TrainingState,
    maps: SaliencyMaps | undefined,
    indices: Uint32Array,
  ): Promise<{ state: TrainingState; event: StepEvent }> {
    const { plan, engine } = this.run;
    const started = this.now();
    const step = state.step + 1;
    const epoch = Math.floor(state.step / this.run.stepsPerEpoch);
    const batch = makeBatch(this.run, maps, indices, epoch);
    const prepared = await this.prepared(state, batch, step);
    const learningRate = plan.optimizer.learningRate * plan.schedule(state.step / this.run.totalSteps);
    const inputs = {
      parameters: state.parameters,
      optimizer: state.optimizer,
      images: prepared.images,
      labels: batch.oneHot,
      scalars: this.scalars(learningRate, step),
      extra: { ...this.extra(batch, step), ...prepared.inputs },
    } satisfies StepInputs as unknown as Tree<NdArray>;
    const first = this.compiled === undefined;
    this.compiled ??= await engine.compile(this.traced, specsOf(inputs), {
      name: `train/${plan.config.objective.name}`,
    });
    const { parameters, optimizer, terms, logits } = (await this.compiled.run(inputs)) as unknown as StepOutputs;
    const values = Object.fromEntries(Object.entries(terms).map(([name, term]) => [name, term.data[0] ?? Number.NaN]));
    const loss = checkLoss(values, step);
    // The first step also traces and compiles: it says nothing about the speed.
    if (!first) this.measure((this.now() - started) / 1000);
    const event: StepEvent = {
      type: 'step',
      step,
      totalSteps: this.run.totalSteps,
      epoch: epoch + 1,
      loss,
      terms: values,
      accuracy: correctFraction(logits, batch.labels),
      learningRate,
      ...this.speed(step),
    };
    return { state: { ...state, parameters, optimizer, step }, event };
  }

  async release(): Promise<void> {
    await this.compiled?.release();
    this.compiled = undefined;
  }

  private async prepared(state: TrainingState, batch: TrainingBatch, step: number): Promise<PreparedBatch> {
    const { engine, plan, options, surrogates, stepsPerEpoch } = this.run;
    const { images, labels, sampleIndices } = batch;
    if (!plan.objective.prepare) return { images };
    return plan.objective.prepare({
      engine,
      classifier: classifierOf(this.run, state),
      images,
      labels,
      seed: plan.config.seed,
      step,
      epochs: (step - 1) / stepsPerEpoch,
      surrogates,
      sampleIndices,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  private scalars(learningRate: number, step: number): Record<string, NdArray> {
    const { plan, stepsPerEpoch } = this.run;
    const values = {
      ramp: rampAt(plan.objective.ramp, (step - 1) / stepsPerEpoch),
      ...plan.optimizer.scalars(learningRate, step),
    };
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, scalar(value)]));
  }

  private extra(batch: TrainingBatch, step: number): Readonly<Record<string, NdArray>> {
    const { plan, model } = this.run;
    const { seed, batchSize } = plan.config;
    const { input, classes } = model;
    return plan.objective.inputs({ seed, step, batchSize, input, classes, saliency: batch.saliency });
  }

  private measure(seconds: number): void {
    this.stepSeconds =
      this.stepSeconds === undefined ? seconds : SMOOTHING * this.stepSeconds + (1 - SMOOTHING) * seconds;
  }

  private speed(step: number): { imagesPerSecond: number; secondsLeft: number } {
    const seconds = this.stepSeconds;
    if (!seconds) return { imagesPerSecond: 0, secondsLeft: 0 };
    return {
      imagesPerSecond: this.run.plan.config.batchSize / seconds,
      secondsLeft: (this.run.totalSteps - step) * seconds,
    };
  }
}

/** Factor of the penalties after so many epochs: 0 up to the ramp's start, 1 from its end on, linear between. */
export function rampAt(ramp: BoundObjective['ramp'], epochs: number): number {
  if (!ramp || epochs >= ramp.endEpoch) return 1;
  if (epochs <= ramp.startEpoch) return 0;
  return (epochs - ramp.startEpoch) / (ramp.endEpoch - ramp.startEpoch);
}
