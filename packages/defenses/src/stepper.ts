import { type Compiled, grantedCores, type NdArray, scalar, specsOf, type Tree } from '@jsigr/engine';
import { statisticsOf } from '@jsigr/models';
import { BatchSource, usualThreadSeconds } from './batch-source.ts';
import type { BatchCompanions, TrainingBatch } from './batches.ts';
import type { StepEvent } from './events.ts';
import { checkLoss } from './guards.ts';
import type { BoundObjective, PreparedBatch } from './objectives/objective.ts';
import { correctFraction } from './objectives/overfitting.ts';
import type { TrainingRun } from './run.ts';
import { classifierOf, type TrainingState } from './state.ts';
import { type StepInputs, type StepOutputs, trainingStep } from './training-step.ts';

/** How much an older step counts against a newer one in the throughput. */
const SMOOTHING = 0.9;

const TURN_SECONDS = 0.1;
/** Most steps of a turn: their batches wait in memory. */
const MOST_STEPS = 16;

/** A step before it is made. */
interface PlannedStep {
  /** Counted from 1. */
  readonly step: number;
  /** Counted from 0. */
  readonly epoch: number;
  readonly labels: TrainingBatch['labels'];
  readonly learningRate: number;
  readonly inputs: Omit<StepInputs, 'parameters' | 'optimizer'>;
}

type Carried = Pick<StepOutputs, 'parameters' | 'optimizer'>;
type Made = Pick<StepOutputs, 'terms' | 'logits'>;

/** Makes the steps of a run with one compiled function, and measures them. */
export class Stepper {
  private readonly run: TrainingRun;
  private readonly now: () => number;
  private readonly source: BatchSource;
  private readonly traced: ReturnType<typeof trainingStep>;
  private compiled: Compiled | undefined;
  private stepSeconds: number | undefined;

  constructor(run: TrainingRun) {
    this.run = run;
    this.now = run.options.now ?? (() => performance.now());
    const { input, classes } = run.network.model;
    const { seed, augmentation } = run.plan.config;
    const recipe = { train: run.dataset.train, input, classes, seed, augmentation };
    const { batchThreadSeconds = usualThreadSeconds(run.engine.info, grantedCores()) } = run.options;
    this.source = new BatchSource(recipe, batchThreadSeconds);
    const network = { forward: run.network.trainingForward, statistics: statisticsOf(run.network) };
    this.traced = trainingStep(network, run.plan.objective, run.plan.optimizer, run.techniques);
  }

  /**
   * How many steps to make in one turn of the engine, which blocks meanwhile. One, where an objective looks at the network before each step. The
   * numbers do not depend on it.
   */
  turn(): number {
    const { plan, options } = this.run;
    if (plan.objective.prepare || !this.stepSeconds) return 1;
    const steps = Math.floor((options.turnSeconds ?? TURN_SECONDS) / this.stepSeconds);
    return Math.min(MOST_STEPS, Math.max(1, steps));
  }

  /**
   * A step on the images with these indices, and then the next.
   * @param batches one for every step, at least one; no more than one where `turn` says one
   * @param following what is likely to come after them in the same epoch: it is made while the engine works
   * @returns the state after all of them, and their events, which throw TrainingError NOT_FINITE or DIVERGED when they come to a step that failed
   */
  async steps(
    state: TrainingState,
    companions: BatchCompanions,
    batches: readonly Uint32Array[],
    following: readonly Uint32Array[] = [],
  ): Promise<{ state: TrainingState; events: Iterable<StepEvent> }> {
    const started = this.now();
    const { stepsPerEpoch, totalSteps } = this.run;
    const epoch = Math.floor(state.step / stepsPerEpoch);
    const orderOf = (indices: Uint32Array) => ({ indices, epoch, companions });
    const taken: TrainingBatch[] = [];
    for (const indices of batches) taken.push(await this.source.take(orderOf(indices)));
    const left = totalSteps - state.step - taken.length;
    this.source.prepare(following.map(orderOf), left);
    const planned: PlannedStep[] = [];
    for (const batch of taken) planned.push(await this.planned(state, batch, epoch, state.step + planned.length + 1));
    const carried = { parameters: state.parameters, optimizer: state.optimizer };
    const first = this.compiled === undefined;
    const [{ inputs }] = planned as [PlannedStep];
    this.compiled ??= await this.run.engine.compile(this.traced, specsOf({ ...carried, ...inputs } as Tree<NdArray>), {
      name: `train/${this.run.plan.config.objective.name}`,
    });
    const { after, made } = await advance(this.compiled, carried, planned);
    // The first step also traces and compiles: it says nothing about the speed.
    if (!first) this.measure((this.now() - started) / 1000 / planned.length);
    return { state: { ...state, ...after, step: state.step + planned.length }, events: this.events(planned, made) };
  }

  private *events(planned: readonly PlannedStep[], made: readonly Made[]): Generator<StepEvent, void> {
    for (const [i, { terms, logits }] of made.entries()) {
      const step = planned[i];
      if (step) yield this.event(step, terms, logits);
    }
  }

  /** What a step is to be made of. */
  private async planned(state: TrainingState, batch: TrainingBatch, epoch: number, step: number): Promise<PlannedStep> {
    const { plan, totalSteps } = this.run;
    const prepared = await this.prepared(state, batch, step);
    const learningRate = plan.optimizer.learningRate * plan.schedule((step - 1) / totalSteps);
    const inputs = {
      images: prepared.images,
      labels: batch.oneHot,
      scalars: this.scalars(state, learningRate, step),
      extra: { ...this.extra(batch, step), ...prepared.inputs },
    };
    return { step, epoch, labels: batch.labels, learningRate, inputs };
  }

  private event(
    { step, epoch, labels, learningRate }: PlannedStep,
    terms: StepOutputs['terms'],
    logits: NdArray,
  ): StepEvent {
    const values = Object.fromEntries(Object.entries(terms).map(([name, term]) => [name, term.data[0] ?? Number.NaN]));
    return {
      type: 'step',
      step,
      totalSteps: this.run.totalSteps,
      epoch: epoch + 1,
      loss: checkLoss(values, step),
      terms: values,
      accuracy: correctFraction(logits, labels),
      learningRate,
      ...this.speed(step),
    };
  }

  async release(): Promise<void> {
    await this.source.close();
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

  private scalars({ penaltyFactor }: TrainingState, learningRate: number, step: number): Record<string, NdArray> {
    const { plan, stepsPerEpoch } = this.run;
    const values = {
      ramp: penaltyFactor * rampAt(plan.objective.ramp, (step - 1) / stepsPerEpoch),
      ...plan.optimizer.scalars(learningRate, step),
    };
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, scalar(value)]));
  }

  private extra(batch: TrainingBatch, step: number): Readonly<Record<string, NdArray>> {
    const { plan, network } = this.run;
    const { seed, batchSize } = plan.config;
    const { input, classes } = network.model;
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

async function advance(
  compiled: Compiled,
  carried: Carried,
  planned: readonly PlannedStep[],
): Promise<{ readonly after: Carried; readonly made: readonly Made[] }> {
  const inputs = planned.map((step) => step.inputs as unknown as Tree<NdArray>);
  const state = carried as unknown as Readonly<Record<string, Tree<NdArray>>>;
  if (inputs.length > 1) {
    const scanned = await compiled.scan({ carried: state, each: inputs });
    return { after: scanned.carried as unknown as Carried, made: scanned.each as unknown as Made[] };
  }
  const outputs = (await compiled.run({ ...state, ...(inputs[0] as object) })) as unknown as StepOutputs;
  return { after: { parameters: outputs.parameters, optimizer: outputs.optimizer }, made: [outputs] };
}

/** Factor of the penalties after so many epochs: 0 up to the ramp's start, 1 from its end on, linear between. */
export function rampAt(ramp: BoundObjective['ramp'], epochs: number): number {
  if (!ramp || epochs >= ramp.endEpoch) return 1;
  if (epochs <= ramp.startEpoch) return 0;
  return (epochs - ramp.startEpoch) / (ramp.endEpoch - ramp.startEpoch);
}
