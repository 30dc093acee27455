import type {
  Metadata,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import type {
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
import { handle, pump, receive, signalOf } from '@jsigr/service';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { APPLICATION, type Application } from '../application/application.ts';

@Controller()
export class ExplanationController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('ExplanationService', 'explain')
  explain(request: ExplainRequest, _: Metadata, call: ServerUnaryCall<ExplainRequest, ExplainResponse>) {
    return handle(() => this.#application.explanations.explain(request, signalOf(call)));
  }
}

@Controller()
export class ModelController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('ModelService', 'getModel')
  get(request: GetModelRequest) {
    return handle(async () => ({ model: await this.#application.models.get(request) }));
  }

  @GrpcMethod('ModelService', 'listModels')
  list(request: ListModelsRequest) {
    return handle(() => this.#application.models.list(request));
  }

  @GrpcStreamCall('ModelService', 'readModelFile')
  read(call: ServerWritableStream<ReadModelFileRequest, ReadModelFileResponse>) {
    return pump(call, () => this.#application.models.readFile(call.request));
  }

  @GrpcStreamCall('ModelService', 'exportModel')
  export(call: ServerWritableStream<ExportModelRequest, ExportModelResponse>) {
    return pump(call, () => this.#application.models.export(call.request));
  }

  @GrpcStreamCall('ModelService', 'importModel')
  import(
    call: ServerReadableStream<ImportModelRequest, ImportModelResponse>,
    callback: sendUnaryData<ImportModelResponse>,
  ) {
    return receive(call, callback, async (messages) => ({ model: await this.#application.models.import(messages) }));
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
  import(request: ImportDatasetRequest) {
    return handle(async () => ({ dataset: await this.#application.datasets.import(request) }));
  }

  @GrpcStreamCall('DatasetService', 'readDatasetFile')
  read(call: ServerWritableStream<ReadDatasetFileRequest, ReadDatasetFileResponse>) {
    return pump(call, () => this.#application.datasets.readFile(call.request));
  }
}

@Controller()
export class WorkerRegistryController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('WorkerRegistryService', 'registerWorker')
  register(request: RegisterWorkerRequest) {
    return handle(() => this.#application.registry.register(request));
  }

  @GrpcMethod('WorkerRegistryService', 'renewLease')
  renew(request: RenewLeaseRequest) {
    return handle(() => this.#application.registry.renew(request));
  }

  @GrpcMethod('WorkerRegistryService', 'deregisterWorker')
  deregister(request: DeregisterWorkerRequest) {
    return handle(() => {
      this.#application.registry.deregister(request);
      return {};
    });
  }
}
