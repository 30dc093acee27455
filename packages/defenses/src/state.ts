import { isDeepStrictEqual } from 'node:util';
import type { Engine, NdArray } from '@jsigr/engine';
import { type Checkpoint, type Classifier, initialParameters, statisticsOf } from '@jsigr/models';
import { TrainingError } from './errors.ts';
import { checkFinite } from './guards.ts';
import { AVERAGE } from './optimizers/averaged.ts';
import type { TrainingRun } from './run.ts';
import { initialState } from './training-step.ts';

type Arrays = Readonly<Record<string, NdArray>>;
type Metrics = Readonly<Record<string, number>>;

/** All that changes from step to step; a checkpoint holds it. */
export interface TrainingState {
  /** The weights that are trained; with averaging not those that are evaluated. */
  readonly parameters: Arrays;
  /** `slot/parameter` to state, the average among the slots. */
  readonly optimizer: Arrays;
  /** Steps made. */
  readonly step: number;
  /** The weights that the present saliency maps were made with: the maps follow from them. Absent while there are none, or a teacher's. */
  readonly mapped?: Arrays;
  /** Of early stopping: the evaluated weights of the best epoch so far. */
  readonly best?: BestEpoch;
  /** All penalties are multiplied with it: the last that a loop's feedback said. */
  readonly penaltyFactor: number;
  /** What that factor was decided by; absent where no loop adapts it. */
  readonly bestClean?: number;
  /** The largest of what the probe measured so far, by name. */
  readonly peaks: Metrics;
  /** Sums over the steps of the present epoch: what its event says must not depend on an interruption. */
  readonly tally: Metrics;
}

export interface BestEpoch {
  readonly parameters: Arrays;
  readonly step: number;
  readonly heldOutAccuracy: number;
}

/** Slots of a checkpoint's optimiser state that hold whole sets of weights. */
const TRAINED = 'trained';
const MAPPED = 'saliency';
const BEST = 'best';
/** Metrics that belong to the state; the rest are for people. */
const PEAK = 'peak.';
const TALLY = 'tally.';
const PENALTY_FACTOR = 'penaltyFactor';
const BEST_CLEAN = 'bestClean';
const BEST_STEP = 'best.step';
const BEST_ACCURACY = 'best.heldOutAccuracy';

/**
 * Where training begins: fresh parameters, those of `initial`, or those of `resume`.
 * @throws TrainingError INVALID_SETTING if that checkpoint is of another configuration, dataset or fixed network
 */
export function startState(run: TrainingRun): TrainingState {
  const { plan, network, options } = run;
  if (options.resume) return resumed(run, options.resume);
  const parameters = options.initial?.parameters ?? initialParameters(network.model, plan.config.seed);
  const optimizer = initialState(plan.optimizer, parameters, statisticsOf(network));
  if (averages(run)) Object.assign(optimizer, slotOf(AVERAGE, trainedOnly(run, parameters)));
  return { parameters, optimizer, step: 0, penaltyFactor: 1, peaks: {}, tally: {} };
}

/** The network as it is being trained: what is attacked and explained on the way. */
export function classifierOf({ network }: TrainingRun, { parameters }: { parameters: Arrays }): Classifier {
  const { model, forward } = network;
  return { id: model.architecture, input: model.input, classes: model.classes, parameters, forward };
}

/** The weights that are evaluated and kept: the average, where there is one, with the running statistics as they are. */
export function evaluatedParameters(run: TrainingRun, { parameters, optimizer }: TrainingState): Arrays {
  return averages(run) ? { ...parameters, ...fromSlot(AVERAGE, optimizer) } : parameters;
}

/** Without the running statistics. */
function trainedOnly({ network }: TrainingRun, parameters: Arrays): Arrays {
  const statistics = statisticsOf(network);
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !statistics.has(name)));
}

/** @throws TrainingError NOT_FINITE if a weight is not a number. */
export function makeCheckpoint(run: TrainingRun, state: TrainingState, metrics: Metrics): Checkpoint {
  const { step, mapped, best, penaltyFactor, bestClean, peaks, tally } = state;
  checkFinite(state.parameters, step);
  const { [AVERAGE]: _, ...slots } = groupedSlots(state.optimizer);
  return {
    ...describe(run, step),
    metrics: {
      ...metrics,
      ...(penaltyFactor === 1 ? {} : { [PENALTY_FACTOR]: penaltyFactor }),
      ...(bestClean === undefined ? {} : { [BEST_CLEAN]: bestClean }),
      ...prefixed(PEAK, peaks),
      ...(step % run.stepsPerEpoch > 0 ? prefixed(TALLY, tally) : {}),
      ...(best ? { [BEST_STEP]: best.step, [BEST_ACCURACY]: best.heldOutAccuracy } : {}),
    },
    parameters: evaluatedParameters(run, state),
    optimizer: {
      ...Object.assign({}, ...Object.entries(slots).map(([slot, arrays]) => slotOf(slot, arrays))),
      ...(averages(run) ? slotOf(TRAINED, state.parameters) : {}),
      ...(mapped ? slotOf(MAPPED, mapped) : {}),
      ...(best ? slotOf(BEST, best.parameters) : {}),
    },
  };
}

/** The result of early stopping: the weights of the best epoch. Training cannot go on from it, but a new run may begin with it. */
export function bestCheckpoint(run: TrainingRun, { parameters, step, heldOutAccuracy }: BestEpoch): Checkpoint {
  return { ...describe(run, step), metrics: { heldOutAccuracy }, parameters, optimizer: {} };
}

function describe(run: TrainingRun, step: number): Omit<Checkpoint, 'metrics' | 'parameters' | 'optimizer'> {
  const { engine, plan, options, network, stepsPerEpoch } = run;
  const { config } = plan;
  return {
    run: options.run ?? 'run',
    step,
    epoch: Math.floor(step / stepsPerEpoch),
    model: network.model,
    ...(Object.keys(network.foreign).length > 0 ? { foreign: network.foreign } : {}),
    dataset: identityOf(run),
    objective: config.objective,
    configuration: JSON.parse(JSON.stringify({ ...config, networks: networksOf(run) })) as Checkpoint['configuration'],
    seed: config.seed,
    engine: bitsOf(engine.info),
  };
}

function resumed(run: TrainingRun, checkpoint: Checkpoint): TrainingState {
  checkSame(run, checkpoint);
  const { plan } = run;
  const { parameters, step, metrics } = checkpoint;
  const { [TRAINED]: trained, [MAPPED]: mapped, [BEST]: best, ...slots } = groupedSlots(checkpoint.optimizer);
  const held = averages(run) ? { ...slots, [AVERAGE]: trainedOnly(run, parameters) } : slots;
  for (const slot of plan.optimizer.slots)
    if (!held[slot] || (averages(run) && !trained))
      throw new TrainingError(
        'INVALID_SETTING',
        'resume.optimizer',
        `the checkpoint of step ${step} holds weights but no state of the optimiser (it is the best epoch of early stopping): begin a new run with it`,
      );
  return {
    parameters: trained ?? parameters,
    optimizer: Object.assign({}, ...Object.entries(held).map(([slot, arrays]) => slotOf(slot, arrays))),
    step,
    ...(mapped ? { mapped } : {}),
    ...(best
      ? { best: { parameters: best, step: metrics[BEST_STEP] ?? 0, heldOutAccuracy: metrics[BEST_ACCURACY] ?? 0 } }
      : {}),
    penaltyFactor: metrics[PENALTY_FACTOR] ?? 1,
    ...(metrics[BEST_CLEAN] === undefined ? {} : { bestClean: metrics[BEST_CLEAN] }),
    peaks: withoutPrefix(PEAK, metrics),
    tally: withoutPrefix(TALLY, metrics),
  };
}

function checkSame(run: TrainingRun, checkpoint: Checkpoint): void {
  const { epochs: _, steps: __, checkpointEveryEpochs: ___, ...mustAgree } = run.plan.config;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ...Object.entries(mustAgree).map(([name, value]) => [name, checkpoint.configuration[name], value] as const),
    ['networks', checkpoint.configuration.networks, networksOf(run)],
    ['dataset', checkpoint.dataset, identityOf(run)],
    ['model', checkpoint.model, run.network.model],
  ];
  for (const [name, before, now] of pairs)
    if (!isDeepStrictEqual(before, now === undefined ? undefined : JSON.parse(JSON.stringify(now))))
      throw new TrainingError(
        'INVALID_SETTING',
        `resume.${name}`,
        `the checkpoint was made with ${name} ${JSON.stringify(before)}, not ${JSON.stringify(now)}`,
      );
}

/** What the weights depend on; why the engine was chosen is not part of it, so that equal weights have equal digests. */
function bitsOf({ reason: _, ...info }: Engine['info']) {
  return info;
}

/** The fixed networks by their names. Those of the beginning do not matter once training is under way. */
function networksOf({ options: { teacher, surrogates = [] } }: TrainingRun) {
  return { ...(teacher ? { teacher: teacher.id } : {}), surrogates: surrogates.map(({ id }) => id) };
}

function identityOf({ dataset, options: { datasetDigest = '' } }: TrainingRun): Checkpoint['dataset'] {
  return { name: dataset.name, digest: datasetDigest };
}

function averages({ plan }: TrainingRun): boolean {
  return plan.optimizer.slots.includes(AVERAGE);
}

function slotOf(slot: string, arrays: Arrays): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${slot}/${name}`, array]));
}

function fromSlot(slot: string, state: Arrays): Arrays {
  return groupedSlots(state)[slot] ?? {};
}

/** `slot/parameter` arrays by slot, then by parameter. */
function groupedSlots(state: Arrays): Record<string, Record<string, NdArray>> {
  const groups: Record<string, Record<string, NdArray>> = {};
  for (const [key, array] of Object.entries(state)) {
    const at = key.indexOf('/');
    const slot = key.slice(0, at);
    groups[slot] = { ...groups[slot], [key.slice(at + 1)]: array };
  }
  return groups;
}

function withoutPrefix(prefix: string, metrics: Metrics): Metrics {
  const own = Object.entries(metrics).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

function prefixed(prefix: string, metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`${prefix}${name}`, value]));
}
