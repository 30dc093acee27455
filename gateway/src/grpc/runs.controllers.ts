import type { Metadata, ServerWritableStream } from '@grpc/grpc-js';
import type { ReadEvaluationFileRequest, ReadEvaluationFileResponse } from '@jsigr/proto';
import { handle, pump } from '@jsigr/service';
import { Controller, Inject, type Type } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { callerOf } from '../access/caller.ts';
import { APPLICATION, type Application } from '../application/application.ts';
import type { CancelRequest, RunMethods, RunRequest, WatchRequest } from '../application/runs.ts';
import type { PageRequest } from '../store/paging.ts';

interface RunsFace {
  readonly service: string;
  /** In the names of methods. */
  readonly resource: string;
  /** In the answers that hold one. */
  readonly field: string;
  readonly methods: (application: Application) => RunMethods<never, unknown, unknown>;
}

/** Training runs and evaluations have the same methods under their own names: `createTrainingRun`, `createEvaluation`. */
function runsController({ service, resource, field, methods }: RunsFace): Type<unknown> {
  @Controller()
  class RunsController {
    readonly runs: RunMethods<never, unknown, unknown>;

    constructor(@Inject(APPLICATION) application: Application) {
      this.runs = methods(application);
    }

    @GrpcMethod(service, `create${resource}`)
    create(request: never, metadata: Metadata) {
      return handle(async () => ({ [field]: await this.runs.create(request, callerOf(metadata)) }));
    }

    @GrpcMethod(service, `get${resource}`)
    get(request: RunRequest, metadata: Metadata) {
      return handle(async () => ({ [field]: await this.runs.get(request, callerOf(metadata)) }));
    }

    @GrpcMethod(service, `list${resource}s`)
    list(request: PageRequest, metadata: Metadata) {
      return handle(() => this.runs.list(request, callerOf(metadata)));
    }

    @GrpcMethod(service, `cancel${resource}`)
    cancel(request: CancelRequest, metadata: Metadata) {
      return handle(async () => ({ [field]: await this.runs.cancel(request, callerOf(metadata)) }));
    }

    @GrpcStreamCall(service, `watch${resource}`)
    watch(call: ServerWritableStream<WatchRequest, unknown>) {
      return pump(call, (signal) => this.runs.watch(call.request, callerOf(call.metadata), signal));
    }
  }
  return RunsController;
}

export const TrainingController = runsController({
  service: 'TrainingService',
  resource: 'TrainingRun',
  field: 'trainingRun',
  methods: ({ trainingRuns }) => trainingRuns,
});

export const EvaluationController = runsController({
  service: 'EvaluationService',
  resource: 'Evaluation',
  field: 'evaluation',
  methods: ({ evaluations }) => evaluations,
});

@Controller()
export class ObjectivesController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('TrainingService', 'listObjectives')
  objectives() {
    return handle(async () => this.#application.trainingRuns.objectives());
  }
}

@Controller()
export class EvaluationFilesController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcStreamCall('EvaluationService', 'readEvaluationFile')
  read(call: ServerWritableStream<ReadEvaluationFileRequest, ReadEvaluationFileResponse>) {
    return pump(call, () => this.#application.evaluations.readFile(call.request, callerOf(call.metadata)));
  }
}
