import { status } from '@grpc/grpc-js';
import { CreateEvaluationRequest, CreateTrainingRunRequest } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import type { Audit } from '../access/audit.ts';
import { OPERATOR } from '../access/caller.ts';
import type { Application } from '../application/application.ts';
import type { Conductor } from '../conductor/conductor.ts';
import { runName } from '../store/run-rows.ts';
import type { RunStore, StoredRun } from '../store/runs.ts';
import type { RunKind } from '../store/schema.ts';
import { type Kind, ownerLabels, type Resource } from './resource.ts';
import { evaluationSpec, inTermsOfResource, trainingSpec } from './spec.ts';

/** The gateway's runs, as the operator needs them. */
export interface Runs {
  /** The resource's run, made now or by an earlier call. @throws Refused for a spec that the gateway does not take. */
  create(resource: Resource, model: string): Promise<StoredRun>;
  /** The run that was made of the resource, whether its status says so yet or not. */
  find(resource: Resource): Promise<StoredRun | undefined>;
  /** A run that has ended meanwhile is fine. */
  cancel(kind: Kind, id: string): Promise<void>;
  /** Has the run hand back its workers, and keeps it from going on. */
  suspend(kind: Kind, id: string): Promise<void>;
  unsuspend(kind: Kind, id: string): Promise<void>;
  /** Resolves once the run has an event after this one. @throws the signal's reason. */
  changedAfter(id: string, sequence: number, signal: AbortSignal): Promise<void>;
}

/** A spec that the gateway does not take: why, field by field. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

const runKinds: Readonly<Record<Kind, RunKind>> = { TrainingRun: 'training', RobustnessEvaluation: 'evaluation' };

export interface RunsMeans {
  readonly application: Application;
  readonly conductor: Conductor;
  readonly store: RunStore;
  readonly audit: Audit;
}

export function runsOf({ application: { trainingRuns, evaluations }, conductor, store, audit }: RunsMeans): Runs {
  const find = async ({ kind, metadata }: Resource) =>
    (await store.labelled(runKinds[kind], { [ownerLabels.uid]: metadata.uid ?? '' }))[0];
  return {
    find,
    async create(resource, model) {
      const { kind, metadata, spec } = resource;
      const { name: displayName = '', uid: requestId = '' } = metadata;
      const labels = { [ownerLabels.kind]: kind, [ownerLabels.name]: displayName, [ownerLabels.uid]: requestId };
      try {
        if (kind === 'TrainingRun')
          await trainingRuns.create(
            CreateTrainingRunRequest.fromPartial({ spec: trainingSpec(spec), displayName, requestId, labels }),
            OPERATOR,
          );
        else
          await evaluations.create(
            CreateEvaluationRequest.fromPartial({ spec: evaluationSpec(spec, model), requestId, labels }),
            OPERATOR,
          );
        const run = await find(resource);
        if (!run) throw new Error(`the run of ${displayName} was made and is not there`);
        return run;
      } catch (error) {
        const { code, violations } = JsigrError.from(error);
        if (code === status.INVALID_ARGUMENT) throw new Refused(inTermsOfResource(kind, violations));
        throw error;
      }
    },
    async cancel(kind, id) {
      const name = runName({ kind: runKinds[kind], id });
      await (kind === 'TrainingRun' ? trainingRuns : evaluations)
        .cancel({ name, etag: '' }, OPERATOR)
        .catch((error) => {
          if (JsigrError.from(error).reason !== 'RUN_FINISHED') throw error;
        });
    },
    suspend(kind, id) {
      audit.record(OPERATOR, 'operator suspend', runName({ kind: runKinds[kind], id }));
      return conductor.suspend(runKinds[kind], id);
    },
    unsuspend(kind, id) {
      audit.record(OPERATOR, 'operator resume', runName({ kind: runKinds[kind], id }));
      return conductor.unsuspend(runKinds[kind], id);
    },
    changedAfter: (id, sequence, signal) => store.changedAfter(id, sequence, signal),
  };
}
