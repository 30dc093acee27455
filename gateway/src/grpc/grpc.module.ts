import { type DynamicModule, Module } from '@nestjs/common';
import { APPLICATION, type Application } from '../application/application.ts';
import {
  DatasetController,
  ExplanationController,
  ModelController,
  WorkerRegistryController,
} from './catalogue.controllers.ts';
import { EvaluationController, TrainingController } from './runs.controllers.ts';

@Module({})
class GrpcModule {}

/** The gateway's gRPC face. */
export function grpcModule(application: Application): DynamicModule {
  return {
    module: GrpcModule,
    controllers: [
      TrainingController,
      EvaluationController,
      ExplanationController,
      ModelController,
      DatasetController,
      WorkerRegistryController,
    ],
    providers: [{ provide: APPLICATION, useValue: application }],
  };
}
