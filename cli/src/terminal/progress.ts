import { type Metric, type Proportion, type RobustnessReport, type RunEvent, RunState } from '@jsigr/proto';
import {
  count,
  decimal,
  duration,
  maskingName,
  metricOf,
  percent,
  proportion,
  shortName,
  spaced,
  stateName,
} from './format.ts';

/** What the events of a run say so far. */
export interface Progress {
  readonly state: RunState;
  readonly reason: string;
  readonly sequence: number;
  /** Epochs that are finished. */
  readonly epochs: number;
  readonly step: number;
  readonly totalSteps: number;
  readonly metrics: readonly Metric[];
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  /** An evaluation's own progress: `pgd 0.1`, and the share of the plan that is done. */
  readonly attacking?: Attacking;
  /** Where that began, since workers were last given the run. */
  readonly attackedFrom?: Attacking;
  readonly report?: RobustnessReport;
}

interface Attacking {
  readonly attack: string;
  readonly epsilon: number;
  readonly fraction: number;
  /** When it was said, in milliseconds. */
  readonly time: number;
}

export const atStart: Progress = {
  state: RunState.RUN_STATE_UNSPECIFIED,
  reason: '',
  sequence: 0,
  epochs: 0,
  step: 0,
  totalSteps: 0,
  metrics: [],
  imagesPerSecond: 0,
  secondsLeft: 0,
};

/** The progress after one more event. */
export function advance(progress: Progress, { sequence, payload, time }: RunEvent): Progress {
  const next = { ...progress, sequence };
  switch (payload?.$case) {
    case 'stateChanged': {
      const { attackedFrom: _, ...rest } = next;
      return { ...rest, state: payload.value.state, reason: payload.value.reason };
    }
    case 'trainingProgress': {
      const { step, totalSteps, metrics, imagesPerSecond, secondsLeft } = payload.value;
      return { ...next, step, totalSteps, metrics, imagesPerSecond, secondsLeft };
    }
    case 'epochCompleted':
      return { ...next, epochs: payload.value.epoch };
    case 'robustnessReported':
      return { ...next, report: payload.value };
    case 'evaluationProgress': {
      const attacking = { ...payload.value, time: time?.getTime() ?? 0 };
      return { ...next, attacking, attackedFrom: next.attackedFrom ?? attacking };
    }
    default:
      return next;
  }
}

/** The live line: `running · epoch 3/12 · step 450/1,200 · 0:42 left · 5,120 images/s · loss 0.41 · ... · cross entropy 0.3 + jacobian 0.11`. */
export function statusLine(progress: Progress, epochs = 0): string {
  const { step, totalSteps, metrics, imagesPerSecond, secondsLeft, attacking, report } = progress;
  const parts = [doing(progress)];
  if (totalSteps > 0) {
    if (epochs > 0) parts.push(`epoch ${Math.min(epochs, Math.floor((step * epochs) / totalSteps) + 1)}/${epochs}`);
    parts.push(`step ${count(step)}/${count(totalSteps)}`);
    // Nothing is known of the speed until the second step: the first one compiles.
    if (imagesPerSecond > 0 && step < totalSteps) parts.push(`${duration(secondsLeft)} left`);
    if (imagesPerSecond > 0) parts.push(`${count(imagesPerSecond)} images/s`);
    parts.push(...lossOf(metrics));
  }
  if (attacking) {
    parts.push(`${attacking.attack} at ${decimal(attacking.epsilon)}`, `${percent(attacking.fraction)} done`);
    const left = secondsOfAttack(progress);
    if (left !== undefined) parts.push(`about ${duration(left)} left`);
  }
  if (report) parts.push(worstCase(report));
  // Last, because a narrow terminal cuts the line.
  parts.push(termsOf(metrics));
  return parts.filter((part) => part !== '').join(' · ');
}

/** Attacks differ in pace, so of a plan's start it says little. */
const TELLING_FRACTION = 0.05;

/** By the pace so far; undefined before there is one. */
function secondsOfAttack({ attacking, attackedFrom }: Progress): number | undefined {
  if (!attacking || !attackedFrom || attacking.fraction >= 1) return undefined;
  const done = attacking.fraction - attackedFrom.fraction;
  if (done < TELLING_FRACTION) return undefined;
  return (((attacking.time - attackedFrom.time) / 1000) * (1 - attacking.fraction)) / done;
}

/** The line that stays after an event, if it is one worth keeping. */
export function noteOf({ payload }: RunEvent): string | undefined {
  switch (payload?.$case) {
    case 'stateChanged': {
      const { state, reason } = payload.value;
      return reason ? `${stateName(state)}: ${reason}` : stateName(state);
    }
    case 'epochCompleted': {
      const { epoch, metrics, seconds } = payload.value;
      const shown = metrics.filter(({ name, value }) => !name.endsWith('seconds') || value >= 0.05);
      const figures = shown.map(({ name, value }) => `${spaced(name)} ${figure(name, value)}`);
      return `epoch ${epoch}: ${[...figures, `${seconds.toFixed(1)} s`].join(', ')}`;
    }
    case 'robustnessReported':
      return `  attacked at epoch ${decimal(payload.value.epoch)}: ${reportLine(payload.value)}`;
    case 'checkpointSelected': {
      const { model, norm, epsilon, robustAccuracy } = payload.value;
      const figure = `transferred ${norm} ${decimal(epsilon)} ${proportion(robustAccuracy)}`;
      return `  best so far: ${shortName(model)} (held-out, ${figure}; masking: not assessed)`;
    }
    case 'feedbackTaken': {
      const { penaltyFactor, trainingExamples, stoppedAfterReports } = payload.value;
      if (stoppedAfterReports > 0)
        return `  training ends with this epoch: robust accuracy was no better in ${count(stoppedAfterReports)} report${stoppedAfterReports === 1 ? '' : 's in a row'}`;
      return penaltyFactor > 0
        ? `  the next epoch's penalties are multiplied by ${decimal(penaltyFactor)}`
        : `  ${count(trainingExamples)} training images have an adversarial example from the next epoch on`;
    }
    case 'checkpointsSkipped': {
      const { models, reason } = payload.value;
      return `  ${models.length} checkpoint${models.length === 1 ? ' was' : 's were'} not attacked: ${reason}`;
    }
    default:
      return undefined;
  }
}

/** A report on one line, with everything that its figures must not travel without. */
export function reportLine(report: RobustnessReport): string {
  const worst = report.epsilons.map(({ norm, epsilon, whiteBox, transferred }) => {
    const kinds = [kind('white-box', whiteBox), kind('transferred', transferred)].filter((text) => text !== '');
    return `${norm} ${decimal(epsilon)} ${kinds.join(', ')}`;
  });
  const about = `${count(report.cleanAccuracy?.trials ?? 0)} ${report.part} samples, masking: ${maskingName(report.masking)}`;
  return [`clean ${proportion(report.cleanAccuracy)}`, ...worst, about].join('; ');
}

// What a trainer reports beside the terms of the loss.
const NO_TERMS: readonly string[] = ['loss', 'accuracy', 'learning_rate'];

function lossOf(metrics: readonly Metric[]): string[] {
  const loss = metricOf(metrics, 'loss');
  const accuracy = metricOf(metrics, 'accuracy');
  return [
    loss === undefined ? '' : `loss ${decimal(loss)}`,
    accuracy === undefined ? '' : `accuracy ${percent(accuracy)}`,
  ];
}

/** The terms that the loss is the sum of, where it has several. */
function termsOf(metrics: readonly Metric[]): string {
  const terms = metrics.filter(({ name }) => !NO_TERMS.includes(name));
  return terms.length > 1 ? terms.map(({ name, value }) => `${spaced(name)} ${decimal(value)}`).join(' + ') : '';
}

function doing({ state, reason, totalSteps }: Progress): string {
  if (state === RunState.RUN_STATE_UNSPECIFIED) return 'waiting';
  // Before the first step the reason says what takes so long, e.g. that a surrogate is trained first.
  return reason && totalSteps === 0 ? `${stateName(state)}: ${reason}` : stateName(state);
}

function worstCase(report: RobustnessReport): string {
  const [first] = report.epsilons;
  if (!first) return '';
  const share = first.transferred ?? first.whiteBox;
  const how = first.transferred ? 'transferred' : 'white-box';
  return `robust ${proportion(share)} (${how}, ${first.norm} ${decimal(first.epsilon)}; masking: ${maskingName(report.masking)})`;
}

function kind(name: string, share: Proportion | undefined): string {
  return share ? `${name} ${proportion(share)}` : '';
}

function figure(name: string, value: number): string {
  if (name.endsWith('seconds')) return value.toFixed(1);
  return name.endsWith('accuracy') ? percent(value) : decimal(value);
}
