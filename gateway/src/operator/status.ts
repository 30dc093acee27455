import { type MaskingVerdict, type Proportion, RobustnessReport, RunState, TrainingProgress } from '@jsigr/proto';
import type { StoredRun } from '../store/runs.ts';
import type { Condition, Resource, State, Status } from './resource.ts';

/** What a resource's status says besides its conditions: the run, how far it is, its figures. */
export function figuresOf(run: StoredRun): Partial<Status> {
  const { latestModel, bestModel, latestReport, report, progress } = run.summary as Summary;
  const found = report ?? latestReport;
  const done = run.state === RunState.RUN_STATE_SUCCEEDED;
  return present({
    run: `${run.kind === 'training' ? 'trainingRuns' : 'evaluations'}/${run.id}`,
    startTime: timeOf(run.startTime),
    completionTime: timeOf(run.endTime),
    ...(run.kind === 'training' ? trainingFigures(progress, done) : evaluationFigures(progress, run, done)),
    latestModel,
    bestModel,
    ...(found ? reportFigures(RobustnessReport.fromJSON(found), run.kind === 'evaluation') : {}),
  });
}

interface Summary {
  readonly latestModel?: string;
  readonly bestModel?: string;
  readonly latestReport?: unknown;
  readonly report?: unknown;
  readonly progress?: { readonly fraction?: number };
}

function trainingFigures(progress: unknown, done: boolean): Partial<Status> {
  if (!progress) return {};
  const { step, totalSteps } = TrainingProgress.fromJSON(progress);
  return { step, progress: done ? '100%' : percent(step / Math.max(totalSteps, 1)) };
}

function evaluationFigures(progress: Summary['progress'], run: StoredRun, done: boolean): Partial<Status> {
  const { model = '' } = run.spec as { model?: string };
  return { model, ...(done || progress ? { progress: done ? '100%' : percent(progress?.fraction ?? 0) } : {}) };
}

/** The figures of a report that fit into one line: its largest radius, white-box where the plan has such attacks. */
function reportFigures(report: RobustnessReport, withLedger: boolean): Partial<Status> {
  const { cleanAccuracy, epsilons, masking, ledger } = report;
  const [first] = epsilons;
  const largest = epsilons
    .filter(({ norm }) => norm === first?.norm)
    .reduce((worst, each) => (each.epsilon > worst.epsilon ? each : worst), first ?? { norm: '', epsilon: 0 });
  const robust =
    first && (('whiteBox' in largest && largest.whiteBox) || ('transferred' in largest && largest.transferred));
  const access = 'whiteBox' in largest && largest.whiteBox ? 'WhiteBox' : 'Transfer';
  return present({
    cleanAccuracy: cleanAccuracy && figure(cleanAccuracy),
    robustAccuracy: robust
      ? { ...figure(robust), norm: largest.norm, epsilon: String(Number(largest.epsilon.toFixed(6))), access }
      : undefined,
    maskingVerdict: verdicts[masking],
    ledger: withLedger && ledger ? ledger : undefined,
  });
}

const verdicts: Partial<Record<MaskingVerdict, Status['maskingVerdict']>> = {
  MASKING_VERDICT_NOT_ASSESSED: 'NotAssessed',
  MASKING_VERDICT_NO_SIGN: 'NoSign',
  MASKING_VERDICT_SUSPECTED: 'Suspected',
  MASKING_VERDICT_EVIDENT: 'Evident',
};

/** Three decimals say more than a few hundred samples know. */
function figure({ value, lower, upper, trials }: Proportion) {
  return { value: value.toFixed(3), lower: lower.toFixed(3), upper: upper.toFixed(3), samples: trials };
}

function percent(share: number): string {
  return `${Math.floor(100 * Math.min(share, 1))}%`;
}

/** The API server keeps seconds. */
function timeOf(date: Date | undefined): string | undefined {
  return date?.toISOString().replace(/\.\d+Z$/, 'Z');
}

function present<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== '')) as T;
}

/** A condition without what follows from the one before. */
export type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** The whole status; a condition's time changes with its status alone. */
export function statusOf(
  { metadata, status }: Resource,
  now: string,
  { state, findings, figures = {} }: { state: State; findings: readonly Finding[]; figures?: Partial<Status> },
): Status {
  const observedGeneration = metadata.generation ?? 0;
  const before = new Map((status?.conditions ?? []).map((condition) => [condition.type, condition]));
  const conditions = findings.map((finding): Condition => {
    const earlier = before.get(finding.type);
    const lastTransitionTime = earlier?.status === finding.status ? earlier.lastTransitionTime : now;
    return { ...finding, observedGeneration, lastTransitionTime };
  });
  return { ...figures, observedGeneration, state, conditions };
}
