import type { Role } from './caller.ts';

/** Whose things a call is about. */
export const tenantRules = {
  none: 'about nothing that belongs to anybody',
  creates: 'what it makes belongs to the tenant of the caller; models that it names must be visible to them',
  own: 'what belongs to other tenants is NOT_FOUND; admins reach everything',
  visible: 'what belongs to the tenant of the caller, and what is shared; admins see everything',
  shared: 'datasets belong to all tenants',
  itself: 'a worker speaks for itself alone',
} as const;

export interface AccessRule {
  /** The least role; `nobody`: no sign-in is needed; `worker`: a worker that this gateway started. */
  readonly needs: Role | 'nobody' | 'worker';
  readonly tenant: keyof typeof tenantRules;
  /** Leaves a line in the audit log. */
  readonly changes?: true;
}

const view = { needs: 'viewer', tenant: 'visible' } as const;
const create = { needs: 'runner', tenant: 'creates', changes: true } as const;
const change = { needs: 'runner', tenant: 'own', changes: true } as const;
const dataset = { needs: 'viewer', tenant: 'shared' } as const;
const worker = { needs: 'worker', tenant: 'itself' } as const;

/**
 * Who may call what: every method of the gateway's gRPC face, and under the same names the HTTP routes that serve it; `http/...` are those that
 * HTTP alone has. What is not here is refused.
 */
export const accessTable = {
  'jsigr.v1.TrainingService/CreateTrainingRun': create,
  'jsigr.v1.TrainingService/GetTrainingRun': view,
  'jsigr.v1.TrainingService/ListTrainingRuns': view,
  'jsigr.v1.TrainingService/CancelTrainingRun': change,
  'jsigr.v1.TrainingService/WatchTrainingRun': view,
  'jsigr.v1.TrainingService/ListObjectives': { needs: 'viewer', tenant: 'none' },
  'jsigr.v1.EvaluationService/CreateEvaluation': create,
  'jsigr.v1.EvaluationService/GetEvaluation': view,
  'jsigr.v1.EvaluationService/ListEvaluations': view,
  'jsigr.v1.EvaluationService/CancelEvaluation': change,
  'jsigr.v1.EvaluationService/WatchEvaluation': view,
  'jsigr.v1.EvaluationService/ReadEvaluationFile': view,
  'jsigr.v1.ExplanationService/Explain': view,
  'jsigr.v1.ModelService/GetModel': view,
  'jsigr.v1.ModelService/ListModels': view,
  'jsigr.v1.ModelService/ReadModelFile': view,
  'jsigr.v1.ModelService/ExportModel': view,
  'jsigr.v1.ModelService/ImportModel': create,
  'jsigr.v1.DatasetService/GetDataset': dataset,
  'jsigr.v1.DatasetService/ListDatasets': dataset,
  'jsigr.v1.DatasetService/ReadDatasetFile': dataset,
  // It reads a folder of the gateway's machine.
  'jsigr.v1.DatasetService/ImportDataset': { needs: 'admin', tenant: 'shared', changes: true },
  'jsigr.v1.MaintenanceService/CollectGarbage': { needs: 'admin', tenant: 'none', changes: true },
  'jsigr.v1.WorkerRegistryService/RegisterWorker': worker,
  'jsigr.v1.WorkerRegistryService/RenewLease': worker,
  'jsigr.v1.WorkerRegistryService/DeregisterWorker': worker,
  // KEDA shows no token; it learns how many requests for explanations there are.
  'externalscaler.ExternalScaler/IsActive': { needs: 'nobody', tenant: 'none' },
  'externalscaler.ExternalScaler/StreamIsActive': { needs: 'nobody', tenant: 'none' },
  'externalscaler.ExternalScaler/GetMetricSpec': { needs: 'nobody', tenant: 'none' },
  'externalscaler.ExternalScaler/GetMetrics': { needs: 'nobody', tenant: 'none' },
  // Probes have no secrets, and learn nothing but whether the gateway serves.
  'grpc.health.v1.Health/Check': { needs: 'nobody', tenant: 'none' },
  'grpc.health.v1.Health/List': { needs: 'nobody', tenant: 'none' },
  'grpc.health.v1.Health/Watch': { needs: 'nobody', tenant: 'none' },
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': { needs: 'viewer', tenant: 'none' },
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': { needs: 'viewer', tenant: 'none' },
  'http/livez': { needs: 'nobody', tenant: 'none' },
  'http/readyz': { needs: 'nobody', tenant: 'none' },
  // How busy the gateway is; no tenant's name is in it.
  'http/metrics': { needs: 'viewer', tenant: 'none' },
} as const satisfies Readonly<Record<string, AccessRule>>;

export type Method = keyof typeof accessTable;

/** The rule of a method; undefined for one that is not in the table. */
export function ruleOf(method: string): AccessRule | undefined {
  return Object.hasOwn(accessTable, method) ? accessTable[method as Method] : undefined;
}
