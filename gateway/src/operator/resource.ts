import type { Collection, Metadata } from '../kubernetes/types.ts';
import {
  type RobustnessEvaluationSpec,
  type RobustnessEvaluationStatus,
  robustnessevaluations,
  type TrainingRunSpec,
  type TrainingRunStatus,
  trainingruns,
} from './generated/resources.ts';

interface Named {
  readonly apiVersion: string;
  readonly metadata: Metadata;
}

export interface TrainingRunResource extends Named {
  readonly kind: 'TrainingRun';
  readonly spec: TrainingRunSpec;
  readonly status?: TrainingRunStatus;
}

export interface RobustnessEvaluationResource extends Named {
  readonly kind: 'RobustnessEvaluation';
  readonly spec: RobustnessEvaluationSpec;
  readonly status?: RobustnessEvaluationStatus;
}

export type Resource = TrainingRunResource | RobustnessEvaluationResource;
export type Kind = Resource['kind'];
/** Every field that either kind has; which of them a kind takes its CRD says. */
export type Status = TrainingRunStatus & RobustnessEvaluationStatus;
export type State = NonNullable<Status['state']>;
export type Condition = NonNullable<Status['conditions']>[number];

export const collections: Readonly<Record<Kind, Collection>> = {
  TrainingRun: trainingruns,
  RobustnessEvaluation: robustnessevaluations,
};

/** While it is there the resource's run may be going on outside Kubernetes' sight. */
export const FINALIZER = 'jsigr.dev/run';

/** Labels of a run that came from a resource, by which its Jobs are owned. */
export const ownerLabels = { kind: 'kubernetes.kind', name: 'kubernetes.name', uid: 'kubernetes.uid' } as const;
