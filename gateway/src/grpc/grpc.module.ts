import { type DynamicModule, Module } from '@nestjs/common';
import { APPLICATION, type Application } from '../application/application.ts';
import {
  DatasetController,
  ExplanationController,
  MaintenanceController,
  ModelController,
  WorkerRegistryController,
} from './catalogue.controllers.ts';
import {
  EvaluationController,
  EvaluationFilesController,
  ObjectivesController,
  TrainingController,
} from './runs.controllers.ts';
import { ScalerController } from './scaler.controller.ts';

@Module({})
class GrpcModule {}

/** The gateway's gRPC face. */
export function grpcModule(application: Application): DynamicModule {
  return {
    module: GrpcModule,
    controllers: [
      TrainingController,
      ObjectivesController,
      EvaluationFilesController,
      EvaluationController,
      ExplanationController,
      ModelController,
      DatasetController,
      MaintenanceController,
      WorkerRegistryController,
      ScalerController,
    ],
    providers: [{ provide: APPLICATION, useValue: application }],
  };
}
