import {
  CreateTrainingRunResponse,
  Feedback,
  type Proportion,
  type RobustnessReport,
  type RunEvent,
  type TrainingRun,
  TrainingSpec,
} from '@jsigr/proto';
import { failedPrecondition, unary } from '@jsigr/service/client';
import { followRun } from '../commands/train.ts';
import type { Context } from '../context.ts';
import { checkEnd } from '../follow.ts';
import type { Output } from '../output.ts';
import type { CheckpointFigures } from '../report/data.ts';
import type { Session } from '../session.ts';
import { ARCHITECTURE, DATASET, type DemoModel, type DemoPlan, EPSILON, NORM } from './plan.ts';

export interface Trained {
  readonly run: TrainingRun;
  /** models/{digest} that the loop selected. */
  readonly model: string;
  readonly secondsPerEpoch: number;
  readonly curve: readonly CheckpointFigures[];
}

/** What the demonstration asks of a trainer. */
export function demoSpec({ objective, settings }: DemoModel, plan: DemoPlan, seed: number): TrainingSpec {
  return TrainingSpec.fromPartial({
    dataset: DATASET,
    architecture: ARCHITECTURE,
    objective,
    objectiveSettings: { ...settings(plan) },
    optimizer: { name: 'adam' },
    epochs: plan.epochs,
    batchSize: plan.batchSize,
    seed,
    checkpointEveryEpochs: 1,
    loop: {
      enabled: true,
      feedback: Feedback.FEEDBACK_SELECT,
      plan: {
        attacks: [
          { attack: 'pgd', norm: NORM, epsilons: [EPSILON], settings: { steps: String(plan.loopSteps) } },
          { attack: 'mi-fgsm', norm: NORM, epsilons: [EPSILON] },
        ],
        samples: plan.loopSamples,
        part: 'held-out',
        seed,
      },
    },
  });
}

/** Trains one of the models while an attacker follows, to the end. @throws JsigrError when it does not succeed */
export async function trainModel(
  model: DemoModel,
  plan: DemoPlan,
  seed: number,
  { session, output, context }: { readonly session: Session; readonly output: Output; readonly context: Context },
): Promise<Trained> {
  const created = await unary(session.training, 'createTrainingRun', {
    spec: demoSpec(model, plan, seed),
    displayName: `demo: ${model.label}`,
    requestId: '',
    labels: { demo: 'true' },
  });
  output.line(CreateTrainingRunResponse, created);
  const { trainingRun } = created;
  if (!trainingRun) throw failedPrecondition('NO_RUN', 'the gateway created no run');
  const events: RunEvent[] = [];
  checkEnd(
    trainingRun.name,
    await followRun(trainingRun, session, output, context, true, (event) => events.push(event)),
  );
  const { trainingRun: run = trainingRun } = await unary(session.training, 'getTrainingRun', {
    name: trainingRun.name,
  });
  return {
    run,
    model: run.bestModel || run.latestModel,
    secondsPerEpoch: secondsPerEpoch(events),
    curve: curveOf(events),
  };
}

/** Median wall time of the epochs: the first one compiles, and an attacker may share the processor. */
export function secondsPerEpoch(events: readonly RunEvent[]): number {
  const seconds = events
    .flatMap(({ payload }) => (payload?.$case === 'epochCompleted' ? [payload.value.seconds] : []))
    .sort((a, b) => a - b);
  const middle = seconds.length / 2;
  return ((seconds[Math.floor(middle - 0.5)] ?? 0) + (seconds[Math.floor(middle)] ?? 0)) / 2;
}

/** The reports of the loop, in the order of their epochs. */
export function curveOf(events: readonly RunEvent[]): CheckpointFigures[] {
  return events
    .flatMap(({ payload }) => (payload?.$case === 'robustnessReported' ? [figuresOf(payload.value)] : []))
    .sort((a, b) => a.epoch - b.epoch);
}

function figuresOf({ epoch, cleanAccuracy, epsilons: [first] }: RobustnessReport): CheckpointFigures {
  return {
    epoch,
    ...present('clean', cleanAccuracy),
    ...present('whiteBox', first?.whiteBox),
    ...present('transferred', first?.transferred),
  };
}

function present(name: string, share: Proportion | undefined): Record<string, Proportion> {
  return share ? { [name]: share } : {};
}
