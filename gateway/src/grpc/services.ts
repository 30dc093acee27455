import type { ServiceDefinition } from '@grpc/grpc-js';
import {
  DatasetServiceService,
  EvaluationServiceService,
  ExplanationServiceService,
  ExternalScalerService,
  MaintenanceServiceService,
  ModelServiceService,
  TrainingServiceService,
  WorkerRegistryServiceService,
} from '@jsigr/proto';

/** The gateway's services by full name. */
export const gatewayServices: Readonly<Record<string, ServiceDefinition>> = {
  'jsigr.v1.TrainingService': TrainingServiceService,
  'jsigr.v1.EvaluationService': EvaluationServiceService,
  'jsigr.v1.ExplanationService': ExplanationServiceService,
  'jsigr.v1.ModelService': ModelServiceService,
  'jsigr.v1.DatasetService': DatasetServiceService,
  'jsigr.v1.MaintenanceService': MaintenanceServiceService,
  'externalscaler.ExternalScaler': ExternalScalerService,
  'jsigr.v1.WorkerRegistryService': WorkerRegistryServiceService,
};
