import type { EpsilonSummary, Proportion, RobustnessReport } from '@jsigr/proto';
import { invalidArgument, type Violation } from '@jsigr/service';

const TOLERANCE = 1e-9;

/** Reports come from another process: figures that cannot be are refused, and with them the report. @throws JsigrError INVALID_ARGUMENT, a violation each. */
export function checkReport(report: RobustnessReport, model: string): void {
  const violations = [
    ...(report.model === model
      ? []
      : [{ field: 'report.model', description: `${report.model || 'nothing'} given, the checkpoint is ${model}` }]),
    ...checkProportion('report.cleanAccuracy', report.cleanAccuracy),
    ...report.attacks.flatMap(({ epsilon, robustAccuracy, attackSuccess }, i) => [
      ...checkEpsilon(`report.attacks[${i}].epsilon`, epsilon),
      ...checkProportion(`report.attacks[${i}].robustAccuracy`, robustAccuracy),
      ...checkProportion(`report.attacks[${i}].attackSuccess`, attackSuccess),
    ]),
    ...report.epsilons.flatMap(({ epsilon, whiteBox, transferred }, i) => [
      ...checkEpsilon(`report.epsilons[${i}].epsilon`, epsilon),
      ...(whiteBox ? checkProportion(`report.epsilons[${i}].whiteBox`, whiteBox) : []),
      ...(transferred ? checkProportion(`report.epsilons[${i}].transferred`, transferred) : []),
    ]),
  ];
  if (violations.length > 0) throw invalidArgument(violations);
}

function checkEpsilon(field: string, epsilon: number): Violation[] {
  return Number.isFinite(epsilon) && epsilon >= 0 ? [] : [{ field, description: `${epsilon} is no radius` }];
}

function checkProportion(field: string, given: Proportion | undefined): Violation[] {
  if (!given) return [{ field, description: 'is missing' }];
  const { successes, trials, value, lower, upper } = given;
  const share = trials === 0 ? 0 : successes / trials;
  const sane =
    successes <= trials &&
    Math.abs(value - share) <= TOLERANCE &&
    (trials === 0 || (lower >= 0 && lower <= value + TOLERANCE && value <= upper + TOLERANCE && upper <= 1));
  return sane ? [] : [{ field, description: `${successes} of ${trials} is not ${value} in [${lower}, ${upper}]` }];
}

/** By what checkpoints are compared: transferred robust accuracy at the largest epsilon of the plan. */
export interface Score {
  readonly norm: string;
  readonly epsilon: number;
  readonly robustAccuracy: Proportion;
}

/** Absent where the report has no transferred examples. */
export function scoreOf({ epsilons }: RobustnessReport): Score | undefined {
  const measured = epsilons.filter(
    (each): each is EpsilonSummary & { transferred: Proportion } => each.transferred !== undefined,
  );
  const largest = measured.reduce<(typeof measured)[number] | undefined>(
    (best, each) => (best && best.epsilon >= each.epsilon ? best : each),
    undefined,
  );
  return largest && { norm: largest.norm, epsilon: largest.epsilon, robustAccuracy: largest.transferred };
}

/** Is the new score better? Of equals the first stays: a later checkpoint must earn its place. */
export function isBetter(score: Score, best: Score | undefined): boolean {
  return !best || score.robustAccuracy.value > best.robustAccuracy.value;
}
