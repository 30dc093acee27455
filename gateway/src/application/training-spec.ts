import { findObjective, findOptimizer, findSchedule, techniquesSchema } from '@jsigr/defenses';
import { findArchitecture, MAX_SEED, parameterShapes } from '@jsigr/models';
import { type Dataset, EvaluationPlan, Feedback, type LoopSpec, type OptimizerSpec, TrainingSpec } from '@jsigr/proto';
import { checkPlan, completePlan, needsSurrogates, transferAttacks } from './evaluation-plan.ts';
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

/** The spec with the contract's defaults written out, so that a stored run says what it does. */
export function completeSpec(given: TrainingSpec, dataset: Dataset | undefined): TrainingSpec {
  const spec = TrainingSpec.fromPartial(given);
  const { loop, optimizer } = spec;
  return {
    ...spec,
    batchSize: spec.batchSize || DEFAULT_BATCH,
    checkpointEveryEpochs: spec.checkpointEveryEpochs || 1,
    optimizer: completeOptimizer(optimizer),
    loop: loop?.enabled ? completeLoop(loop, dataset) : undefined,
  };
}

function completeLoop({ feedback, plan }: LoopSpec, dataset: Dataset | undefined): LoopSpec {
  const named = feedback === Feedback.FEEDBACK_UNSPECIFIED ? Feedback.FEEDBACK_NONE : feedback;
  const asked = plan ?? EvaluationPlan.fromPartial({ samples: LOOP_SAMPLES });
  return { enabled: true, feedback: named, plan: completePlan(asked, 'held-out', dataset) };
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
  const { architecture, objective, objectiveSettings, optimizer, augmentation, loop } = spec;
  const known = violations.try(`${FIELD}.architecture`, () => findArchitecture(architecture));
  if (known && dataset) violations.try(`${FIELD}.architecture`, () => parameterShapes(modelOf(architecture, dataset)));
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
  if (loop) checkLoop(loop, dataset, violations);
}

/** The network's spec for a dataset's images. */
function modelOf(architecture: string, { input, classNames }: Dataset) {
  const [height = 0, width = 0, channels = 0] = input;
  return { architecture, input: [height, width, channels] as const, classes: classNames.length };
}

function checkOptimizer(optimizer: OptimizerSpec, violations: Violations): void {
  const field = `${FIELD}.optimizer`;
  const { name, learningRate, momentum, weightDecay, schedule } = optimizer;
  violations.try(`${field}.name`, () => findOptimizer(name));
  violations.try(`${field}.schedule`, () => findSchedule(schedule));
  violations.number(`${field}.learningRate`, learningRate, 'above 0, up to 10', (rate) => rate > 0 && rate <= 10);
  violations.number(`${field}.momentum`, momentum, '0 or more, below 1', (value) => value >= 0 && value < 1);
  if (name !== 'sgd' && momentum !== 0) violations.add(`${field}.momentum`, `${momentum} given, but only sgd has one`);
  violations.number(`${field}.weightDecay`, weightDecay, '0 or more', (value) => value >= 0);
}

function checkLoop({ feedback, plan }: LoopSpec, dataset: Dataset | undefined, violations: Violations): void {
  const field = `${FIELD}.loop`;
  if (feedback === Feedback.UNRECOGNIZED)
    violations.add(`${field}.feedback`, 'is not known; FEEDBACK_NONE and FEEDBACK_SELECT are');
  if (!plan) {
    violations.add(`${field}.plan`, 'is missing');
    return;
  }
  checkPlan(plan, `${field}.plan`, dataset, violations);
  if (feedback !== Feedback.FEEDBACK_SELECT) return;
  if (plan.part === 'test')
    violations.add(
      `${field}.plan.part`,
      'test given; a model is selected on held-out samples of the training set only',
    );
  if (!needsSurrogates(plan))
    violations.add(
      `${field}.plan.attacks`,
      `feedback select goes by transferred examples: the plan needs one of ${transferAttacks.join(', ')}`,
    );
}
