import { findObjective, findOptimizer, findSchedule, type NetworkDescription, techniquesSchema } from '@jsigr/defenses';
import {
  type Activation,
  IMPORTED_ARCHITECTURE,
  listArchitectures,
  MAX_SEED,
  ModelError,
  type NormKind,
  resolveModelSpec,
} from '@jsigr/models';
import { type Dataset, EvaluationPlan, Feedback, LoopSpec, type OptimizerSpec, TrainingSpec } from '@jsigr/proto';
import { checkLoopPlan, checkPlan, completePlan, needsSurrogates, transferAttacks } from './evaluation-plan.ts';
import { checkSettings } from './settings.ts';
import type { Violations } from './violations.ts';

const FIELD = 'spec';
const MOST_EPOCHS = 10_000;
const MOST_BATCH = 4096;
const MOST_PADDING = 8;
const MOST_CUTOUT = 64;
const DEFAULT_BATCH = 64;
/** Samples of a loop whose plan is left to the gateway. */
const LOOP_SAMPLES = 200;
const CLEAN_TOLERANCE = 0.02;
const TRAINING_EXAMPLES = 256;
const MOST_TRAINING_EXAMPLES = 4096;
const PATIENCE = 5;
const MOST_PATIENCE = 1000;
const EXAMPLE_SHARE = 0.5;
const SELECTING: readonly Feedback[] = [
  Feedback.FEEDBACK_SELECT,
  Feedback.FEEDBACK_EARLY_STOP,
  Feedback.FEEDBACK_ADAPT,
  Feedback.FEEDBACK_AUGMENT,
];

/** The spec with the contract's defaults written out, so that a stored run says what it does. */
export function completeSpec(given: TrainingSpec, dataset: Dataset | undefined): TrainingSpec {
  const spec = TrainingSpec.fromPartial(given);
  const { loop, optimizer } = spec;
  return {
    ...spec,
    activation: spec.activation || 'relu',
    norm: spec.norm || (listArchitectures().find(({ name }) => name === spec.architecture)?.norms[0] ?? ''),
    batchSize: spec.batchSize || DEFAULT_BATCH,
    checkpointEveryEpochs: spec.checkpointEveryEpochs || 1,
    optimizer: completeOptimizer(optimizer),
    // One that is off and yet has settings stays: the check says so.
    loop: loop?.enabled ? completeLoop(loop, dataset) : loop && settingsOf(loop).length > 0 ? loop : undefined,
  };
}

function completeLoop(given: LoopSpec, dataset: Dataset | undefined): LoopSpec {
  const { feedback, plan } = given;
  const named = feedback === Feedback.FEEDBACK_UNSPECIFIED ? Feedback.FEEDBACK_NONE : feedback;
  const [adapts, augments] = [named === Feedback.FEEDBACK_ADAPT, named === Feedback.FEEDBACK_AUGMENT];
  const stops = named === Feedback.FEEDBACK_EARLY_STOP;
  const asked = plan ?? EvaluationPlan.fromPartial({ samples: LOOP_SAMPLES });
  return {
    enabled: true,
    feedback: named,
    plan: completePlan(asked, 'held-out', dataset),
    cleanTolerance: given.cleanTolerance || (adapts ? CLEAN_TOLERANCE : 0),
    trainingExamples: given.trainingExamples || (augments ? TRAINING_EXAMPLES : 0),
    exampleShare: given.exampleShare || (augments ? EXAMPLE_SHARE : 0),
    patience: given.patience || (stops ? PATIENCE : 0),
  };
}

function completeOptimizer(given: OptimizerSpec | undefined): OptimizerSpec {
  const { name = '', learningRate = 0, momentum = 0, weightDecay = 0, schedule = '' } = given ?? {};
  const usual = name === 'sgd' ? 0.05 : 0.001;
  return {
    name: name || 'adam',
    learningRate: learningRate || usual,
    momentum,
    weightDecay,
    schedule: schedule || 'constant',
  };
}

/** Checks a complete spec. @param dataset undefined where it is not known; that is a violation of its own. */
export function checkSpec(spec: TrainingSpec, dataset: Dataset | undefined, violations: Violations): void {
  const { objective, objectiveSettings, optimizer, augmentation, loop } = spec;
  checkModel(spec, dataset, violations);
  const row = violations.try(`${FIELD}.objective`, () => findObjective(objective));
  if (row) checkSettings(row.settings, objectiveSettings, `${FIELD}.objectiveSettings`, violations);
  if (optimizer) checkOptimizer(optimizer, violations);
  violations.integer(`${FIELD}.epochs`, spec.epochs, 1, MOST_EPOCHS);
  violations.integer(`${FIELD}.batchSize`, spec.batchSize, 1, MOST_BATCH);
  violations.integer(`${FIELD}.seed`, spec.seed, 0, MAX_SEED);
  violations.integer(`${FIELD}.checkpointEveryEpochs`, spec.checkpointEveryEpochs, 1, MOST_EPOCHS);
  violations.integer(`${FIELD}.augmentation.cropPadding`, augmentation?.cropPadding ?? 0, 0, MOST_PADDING);
  violations.integer(`${FIELD}.augmentation.cutout`, augmentation?.cutout ?? 0, 0, MOST_CUTOUT);
  checkSettings(techniquesSchema, spec.techniques, `${FIELD}.techniques`, violations);
  const noise = augmentation?.noise ?? 0;
  violations.number(`${FIELD}.augmentation.noise`, noise, '0 to 1', (value) => value >= 0 && value <= 1);
  if (loop?.enabled) checkLoop(loop, dataset, violations);
  else if (loop) violations.add(`${FIELD}.loop.enabled`, `must be true: ${settingsOf(loop).join(', ')} given`);
}

/**
 * The network that a spec asks for, for images of a dataset; of an imported one no more is known here.
 * @throws ModelError naming `architecture`, `activation`, `norm` or `denoise`
 */
export function networkOf(
  { architecture, activation, norm, denoise }: TrainingSpec,
  dataset: Dataset,
): Omit<NetworkDescription, 'id'> {
  const [height = 0, width = 0, channels = 0] = dataset.input;
  const images = { input: [height, width, channels], classes: dataset.classNames.length } as const;
  if (architecture === IMPORTED_ARCHITECTURE) return { architecture, ...images };
  return resolveModelSpec({
    architecture,
    ...(activation ? { activation: activation as Activation } : {}),
    ...(norm ? { norm: norm as NormKind } : {}),
    denoise,
    ...images,
  });
}

/** Images that any network takes, so that the names can be checked where the dataset is not known. */
const ANY_IMAGES: Pick<Dataset, 'input' | 'classNames'> = { input: [28, 28, 1], classNames: ['0', '1'] };
const SWITCHES = ['activation', 'norm', 'denoise'];

function checkModel(spec: TrainingSpec, dataset: Dataset | undefined, violations: Violations): void {
  try {
    networkOf(spec, (dataset ?? ANY_IMAGES) as Dataset);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const field = SWITCHES.includes(error.field) ? error.field : 'architecture';
    violations.add(`${FIELD}.${field}`, error.message.replace(/^\w+: /, ''));
  }
}

function checkOptimizer(optimizer: OptimizerSpec, violations: Violations): void {
  const field = `${FIELD}.optimizer`;
  const { name, learningRate, momentum, weightDecay, schedule } = optimizer;
  violations.try(`${field}.name`, () => findOptimizer(name));
  violations.try(`${field}.schedule`, () => findSchedule(schedule));
  violations.number(`${field}.learningRate`, learningRate, 'above 0, up to 10', (rate) => rate > 0 && rate <= 10);
  violations.number(`${field}.momentum`, momentum, '0 or more, below 1', (value) => value >= 0 && value < 1);
  if (name !== 'sgd' && momentum !== 0) violations.add(`${field}.momentum`, `${momentum} given, but only sgd has one`);
  violations.number(`${field}.weightDecay`, weightDecay, '0 to 10', (value) => value >= 0 && value <= 10);
}

function checkLoop(loop: LoopSpec, dataset: Dataset | undefined, violations: Violations): void {
  const { feedback, plan } = loop;
  const field = `${FIELD}.loop`;
  if (feedback === Feedback.UNRECOGNIZED)
    violations.add(
      `${field}.feedback`,
      'is not known; FEEDBACK_NONE, FEEDBACK_SELECT, FEEDBACK_EARLY_STOP, FEEDBACK_ADAPT and FEEDBACK_AUGMENT are',
    );
  checkFeedback(loop, field, violations);
  if (!plan) {
    violations.add(`${field}.plan`, 'is missing');
    return;
  }
  checkPlan(plan, `${field}.plan`, dataset, violations);
  checkLoopPlan(plan, `${field}.plan`, violations);
  if (!SELECTING.includes(feedback)) return;
  if (plan.part === 'test')
    violations.add(
      `${field}.plan.part`,
      'test given; a model is selected on held-out samples of the training set only',
    );
  if (!needsSurrogates(plan))
    violations.add(
      `${field}.plan.attacks`,
      `a model is selected by transferred examples: the plan needs one of ${transferAttacks.join(', ')}`,
    );
}

/** What is set of a loop besides whether there is one. */
function settingsOf(loop: LoopSpec): string[] {
  return Object.keys(LoopSpec.toJSON({ ...loop, enabled: false }) as object);
}

/** Settings of one kind of feedback are of no use with another. */
function checkFeedback(loop: LoopSpec, field: string, violations: Violations): void {
  const { feedback, cleanTolerance, trainingExamples, exampleShare, patience } = loop;
  const only = (name: string, value: number, needs: Feedback, kind: string) => {
    if (value !== 0 && feedback !== needs)
      violations.add(`${field}.${name}`, `${value} given, but only feedback ${kind} uses it`);
  };
  only('cleanTolerance', cleanTolerance, Feedback.FEEDBACK_ADAPT, 'adapt');
  only('trainingExamples', trainingExamples, Feedback.FEEDBACK_AUGMENT, 'augment');
  only('exampleShare', exampleShare, Feedback.FEEDBACK_AUGMENT, 'augment');
  only('patience', patience, Feedback.FEEDBACK_EARLY_STOP, 'early_stop');
  const isShare = (value: number) => value >= 0 && value <= 1;
  violations.number(`${field}.cleanTolerance`, cleanTolerance, '0 to 1', isShare);
  violations.number(`${field}.exampleShare`, exampleShare, '0 to 1', isShare);
  violations.integer(`${field}.patience`, patience, 0, MOST_PATIENCE);
  violations.integer(`${field}.trainingExamples`, trainingExamples, 0, MOST_TRAINING_EXAMPLES);
}
