import type { TrainingConfig } from '@jsigr/defenses';
import type { Activation, NormKind } from '@jsigr/models';
import { Feedback, type TrainingSpec } from '@jsigr/proto';
import { invalidArgument, JsigrError, settingsFromText, type Violation } from '@jsigr/service';

/** The contract's spec as the training loop takes it; zeros and empty texts take the loop's own defaults, but for a momentum of 0, which is none. */
export function trainingConfig(spec: TrainingSpec): TrainingConfig {
  const { optimizer, augmentation } = spec;
  return {
    architecture: spec.architecture,
    // What is no activation or norm is refused by the configuration's schema.
    ...(spec.activation ? { activation: spec.activation as Activation } : {}),
    ...(spec.norm ? { norm: spec.norm as NormKind } : {}),
    denoise: spec.denoise,
    objective: { name: spec.objective, settings: settingsFromText(spec.objectiveSettings) },
    optimizer: {
      name: optimizer?.name || 'adam',
      settings: {
        ...(optimizer?.learningRate ? { learningRate: optimizer.learningRate } : {}),
        ...(optimizer?.name === 'sgd' ? { momentum: optimizer.momentum } : {}),
        ...(optimizer?.weightDecay ? { weightDecay: optimizer.weightDecay } : {}),
      },
    },
    schedule: { name: optimizer?.schedule || 'constant', settings: {} },
    epochs: spec.epochs,
    seed: spec.seed,
    ...(spec.batchSize ? { batchSize: spec.batchSize } : {}),
    ...(spec.checkpointEveryEpochs ? { checkpointEveryEpochs: spec.checkpointEveryEpochs } : {}),
    augmentation: {
      cropPadding: augmentation?.cropPadding ?? 0,
      flip: augmentation?.flip ?? false,
      noise: augmentation?.noise ?? 0,
      cutout: augmentation?.cutout ?? 0,
    },
    techniques: settingsFromText(spec.techniques),
  };
}

/** Fields of the training loop's configuration, as the contract calls them; the longest prefix that fits counts. */
const contractFields: readonly (readonly [string, string])[] = [
  ['objective.settings', 'spec.objectiveSettings'],
  ['objective', 'spec.objective'],
  ['optimizer.settings', 'spec.optimizer'],
  ['optimizer.name', 'spec.optimizer.name'],
  ['schedule', 'spec.optimizer.schedule'],
  ['initial', 'spec.initialModel'],
];

/** What the training loop says of its configuration, said of the spec. */
export function inTermsOfSpec(error: unknown): JsigrError {
  const ours = JsigrError.from(error);
  const violations = ours.violations.map(({ field, description }): Violation => {
    const known = contractFields.find(([prefix]) => field === prefix || field.startsWith(`${prefix}.`));
    const rest = known ? field.slice(known[0].length).replace(/^\.name$/, '') : '';
    return { field: known ? `${known[1]}${rest}` : `spec.${field}`, description };
  });
  const { code, reason, message, hint } = ours;
  return new JsigrError({ code, reason, message, violations, ...(hint ? { hint } : {}), cause: error });
}

const SELECTING: readonly Feedback[] = [
  Feedback.FEEDBACK_SELECT,
  Feedback.FEEDBACK_EARLY_STOP,
  Feedback.FEEDBACK_ADAPT,
  Feedback.FEEDBACK_AUGMENT,
];

/** Does the loop choose the run's best model? */
export function selects({ loop }: TrainingSpec): boolean {
  return loop?.enabled === true && SELECTING.includes(loop.feedback);
}

/** Names of the attacks that a loop which selects has planned; undefined where nothing is selected. @throws JsigrError for a plan on the test set. */
export function selectingAttacks(spec: TrainingSpec): readonly string[] | undefined {
  const { loop } = spec;
  if (!selects(spec)) return undefined;
  if (loop?.plan?.part === 'test')
    throw invalidArgument(
      'spec.loop.plan.part',
      'test given; a model is selected on held-out samples of the training set only',
    );
  return loop?.plan?.attacks.map(({ attack }) => attack) ?? [];
}
