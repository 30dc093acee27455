import type { ServerWritableStream } from '@grpc/grpc-js';
import type {
  CancelEvaluationRequest,
  CancelTrainingRunRequest,
  CreateEvaluationRequest,
  CreateTrainingRunRequest,
  GetEvaluationRequest,
  GetTrainingRunRequest,
  ListEvaluationsRequest,
  ListTrainingRunsRequest,
  WatchEvaluationRequest,
  WatchEvaluationResponse,
  WatchTrainingRunRequest,
  WatchTrainingRunResponse,
} from '@jsigr/proto';
import { handle, pump } from '@jsigr/service';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { APPLICATION, type Application } from '../application/application.ts';
import type { Evaluations } from '../application/evaluations.ts';
import type { TrainingRuns } from '../application/training-runs.ts';

@Controller()
export class TrainingController {
  readonly #runs: TrainingRuns;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#runs = application.trainingRuns;
  }

  @GrpcMethod('TrainingService', 'createTrainingRun')
  create(request: CreateTrainingRunRequest) {
    return handle(async () => ({ trainingRun: await this.#runs.create(request) }));
  }

  @GrpcMethod('TrainingService', 'getTrainingRun')
  get(request: GetTrainingRunRequest) {
    return handle(async () => ({ trainingRun: await this.#runs.get(request) }));
  }

  @GrpcMethod('TrainingService', 'listTrainingRuns')
  list(request: ListTrainingRunsRequest) {
    return handle(() => this.#runs.list(request));
  }

  @GrpcMethod('TrainingService', 'cancelTrainingRun')
  cancel(request: CancelTrainingRunRequest) {
    return handle(async () => ({ trainingRun: await this.#runs.cancel(request) }));
  }

  @GrpcMethod('TrainingService', 'listObjectives')
  objectives() {
    return handle(async () => this.#runs.objectives());
  }

  @GrpcStreamCall('TrainingService', 'watchTrainingRun')
  watch(call: ServerWritableStream<WatchTrainingRunRequest, WatchTrainingRunResponse>) {
    return pump(call, (signal) => this.#runs.watch(call.request, signal));
  }
}

@Controller()
export class EvaluationController {
  readonly #evaluations: Evaluations;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#evaluations = application.evaluations;
  }

  @GrpcMethod('EvaluationService', 'createEvaluation')
  create(request: CreateEvaluationRequest) {
    return handle(async () => ({ evaluation: await this.#evaluations.create(request) }));
  }

  @GrpcMethod('EvaluationService', 'getEvaluation')
  get(request: GetEvaluationRequest) {
    return handle(async () => ({ evaluation: await this.#evaluations.get(request) }));
  }

  @GrpcMethod('EvaluationService', 'listEvaluations')
  list(request: ListEvaluationsRequest) {
    return handle(() => this.#evaluations.list(request));
  }

  @GrpcMethod('EvaluationService', 'cancelEvaluation')
  cancel(request: CancelEvaluationRequest) {
    return handle(async () => ({ evaluation: await this.#evaluations.cancel(request) }));
  }

  @GrpcStreamCall('EvaluationService', 'watchEvaluation')
  watch(call: ServerWritableStream<WatchEvaluationRequest, WatchEvaluationResponse>) {
    return pump(call, (signal) => this.#evaluations.watch(call.request, signal));
  }
}
