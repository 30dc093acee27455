import type { EpsilonSummary, EvaluationPlan, Proportion, RobustnessReport } from '@jsigr/proto';
import { invalidArgument, type Violation } from '@jsigr/service';

const TOLERANCE = 1e-9;

/** What a report must be about. */
export interface Asked {
  /** models/{digest} of the checkpoint. */
  readonly model: string;
  /** datasets/{id} */
  readonly dataset?: string;
  readonly plan?: EvaluationPlan;
}

/**
 * Reports come from another process: figures that cannot be, or that nobody asked for, are refused, and with them the report.
 * @throws JsigrError INVALID_ARGUMENT, a violation each.
 */
export function checkReport(report: RobustnessReport, asked: Asked): void {
  const { cleanAccuracy: clean } = report;
  const violations = [
    ...checkSubject(report, asked),
    ...checkProportion('report.cleanAccuracy', clean),
    ...report.attacks.flatMap(({ attack, norm, epsilon, robustAccuracy, attackSuccess }, i) => [
      ...checkPlanned(`report.attacks[${i}]`, { attack, norm, epsilon }, asked.plan),
      ...checkEpsilon(`report.attacks[${i}].epsilon`, epsilon),
      ...checkRobust(`report.attacks[${i}].robustAccuracy`, robustAccuracy, clean),
      ...checkProportion(`report.attacks[${i}].attackSuccess`, attackSuccess),
    ]),
    ...report.epsilons.flatMap(({ norm, epsilon, whiteBox, transferred }, i) => [
      ...checkPlanned(`report.epsilons[${i}]`, { norm, epsilon }, asked.plan),
      ...checkEpsilon(`report.epsilons[${i}].epsilon`, epsilon),
      ...(whiteBox ? checkRobust(`report.epsilons[${i}].whiteBox`, whiteBox, clean) : []),
      ...(transferred ? checkRobust(`report.epsilons[${i}].transferred`, transferred, clean) : []),
    ]),
  ];
  if (violations.length > 0) throw invalidArgument(violations);
}

function checkSubject({ model, dataset, part, cleanAccuracy }: RobustnessReport, asked: Asked): Violation[] {
  const samples = asked.plan?.samples || Number.POSITIVE_INFINITY;
  const trials = cleanAccuracy?.trials ?? 0;
  const differs = (field: string, given: string, expected: string | undefined) =>
    !expected || given === expected
      ? []
      : [{ field, description: `${given || 'nothing'} given, ${expected} was asked for` }];
  return [
    ...differs('report.model', model, asked.model),
    ...differs('report.dataset', dataset, asked.dataset),
    ...differs('report.part', part, asked.plan?.part),
    ...(trials > samples
      ? [{ field: 'report.cleanAccuracy', description: `${trials} samples, ${samples} were asked for` }]
      : []),
  ];
}

function checkPlanned(
  field: string,
  found: { readonly attack?: string; readonly norm: string; readonly epsilon: number },
  plan: EvaluationPlan | undefined,
): Violation[] {
  const planned = plan?.attacks.some(
    ({ attack, norm, epsilons }) =>
      (found.attack ?? attack) === attack && found.norm === (norm || 'linf') && epsilons.includes(found.epsilon),
  );
  const { attack = 'an attack', norm, epsilon } = found;
  return !plan || planned ? [] : [{ field, description: `${attack} in ${norm} at ${epsilon} was not asked for` }];
}

/** Only what was classified correctly can stand an attack. */
function checkRobust(field: string, robust: Proportion | undefined, clean: Proportion | undefined): Violation[] {
  const wrong = checkProportion(field, robust);
  if (wrong.length > 0 || !robust || !clean) return wrong;
  if (robust.trials === clean.trials && robust.successes <= clean.successes) return [];
  const figures = `${robust.successes} of ${robust.trials} withstood, ${clean.successes} of ${clean.trials} were right before`;
  return [{ field, description: figures }];
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
