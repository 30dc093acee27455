import type {
  Metadata,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import type {
  CollectGarbageRequest,
  DeregisterWorkerRequest,
  ExplainRequest,
  ExplainResponse,
  ExportModelRequest,
  ExportModelResponse,
  GetDatasetRequest,
  GetModelRequest,
  ImportDatasetRequest,
  ImportModelRequest,
  ImportModelResponse,
  ListDatasetsRequest,
  ListModelsRequest,
  ReadDatasetFileRequest,
  ReadDatasetFileResponse,
  ReadModelFileRequest,
  ReadModelFileResponse,
  RegisterWorkerRequest,
  RenewLeaseRequest,
} from '@jsigr/proto';
import { handle, pump, receive, signalOf, timeLeft } from '@jsigr/service';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { callerOf } from '../access/caller.ts';
import { APPLICATION, type Application } from '../application/application.ts';

@Controller()
export class ExplanationController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('ExplanationService', 'explain')
  explain(request: ExplainRequest, metadata: Metadata, call: ServerUnaryCall<ExplainRequest, ExplainResponse>) {
    const { explanations } = this.#application;
    return handle(() => explanations.explain(request, callerOf(metadata), signalOf(call), timeLeft(call)));
  }
}

@Controller()
export class ModelController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('ModelService', 'getModel')
  get(request: GetModelRequest, metadata: Metadata) {
    return handle(async () => ({ model: await this.#application.models.get(request, callerOf(metadata)) }));
  }

  @GrpcMethod('ModelService', 'listModels')
  list(request: ListModelsRequest, metadata: Metadata) {
    return handle(() => this.#application.models.list(request, callerOf(metadata)));
  }

  @GrpcStreamCall('ModelService', 'readModelFile')
  read(call: ServerWritableStream<ReadModelFileRequest, ReadModelFileResponse>) {
    return pump(call, () => this.#application.models.readFile(call.request, callerOf(call.metadata)));
  }

  @GrpcStreamCall('ModelService', 'exportModel')
  export(call: ServerWritableStream<ExportModelRequest, ExportModelResponse>) {
    return pump(call, () => this.#application.models.export(call.request, callerOf(call.metadata)));
  }

  @GrpcStreamCall('ModelService', 'importModel')
  import(
    call: ServerReadableStream<ImportModelRequest, ImportModelResponse>,
    callback: sendUnaryData<ImportModelResponse>,
  ) {
    return receive(call, callback, async (messages, signal) => ({
      model: await this.#application.models.import(messages, callerOf(call.metadata), signal),
    }));
  }
}

@Controller()
export class DatasetController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('DatasetService', 'getDataset')
  get(request: GetDatasetRequest) {
    return handle(async () => ({ dataset: await this.#application.datasets.get(request) }));
  }

  @GrpcMethod('DatasetService', 'listDatasets')
  list(request: ListDatasetsRequest) {
    return handle(() => this.#application.datasets.list(request));
  }

  @GrpcMethod('DatasetService', 'importDataset')
  import(request: ImportDatasetRequest, metadata: Metadata) {
    return handle(async () => ({ dataset: await this.#application.datasets.import(request, callerOf(metadata)) }));
  }

  @GrpcStreamCall('DatasetService', 'readDatasetFile')
  read(call: ServerWritableStream<ReadDatasetFileRequest, ReadDatasetFileResponse>) {
    return pump(call, () => this.#application.datasets.readFile(call.request, callerOf(call.metadata)));
  }
}

@Controller()
export class WorkerRegistryController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('WorkerRegistryService', 'registerWorker')
  register(request: RegisterWorkerRequest, metadata: Metadata) {
    return handle(() => this.#application.registry.register(request, callerOf(metadata)));
  }

  @GrpcMethod('WorkerRegistryService', 'renewLease')
  renew(request: RenewLeaseRequest, metadata: Metadata) {
    return handle(() => this.#application.registry.renew(request, callerOf(metadata)));
  }

  @GrpcMethod('WorkerRegistryService', 'deregisterWorker')
  deregister(request: DeregisterWorkerRequest, metadata: Metadata) {
    return handle(() => {
      this.#application.registry.deregister(request, callerOf(metadata));
      return {};
    });
  }
}

@Controller()
export class MaintenanceController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('MaintenanceService', 'collectGarbage')
  collect(request: CollectGarbageRequest, metadata: Metadata) {
    return handle(() => this.#application.maintenance.collect(request, callerOf(metadata)));
  }
}
