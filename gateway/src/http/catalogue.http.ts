import type { ServerResponse } from 'node:http';
import {
  ExplainRequest,
  ExplainResponse,
  GetDatasetResponse,
  GetModelResponse,
  ImportDatasetRequest,
  ImportDatasetResponse,
  ListDatasetsRequest,
  ListDatasetsResponse,
  ListModelsRequest,
  ListModelsResponse,
  ListObjectivesResponse,
  ReadDatasetFileRequest,
  ReadModelFileRequest,
} from '@jsigr/proto';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import type { Caller } from '../access/caller.ts';
import { APPLICATION, type Application } from '../application/application.ts';
import { From, Serves } from './admission.ts';
import { sendBytes } from './file-bytes.ts';
import { messageFromJson } from './message-json.ts';
import { waitOf } from './prefer.ts';

@Controller('v1')
export class CatalogueHttp {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @Serves('jsigr.v1.TrainingService/ListObjectives')
  @Get('objectives')
  objectives() {
    return ListObjectivesResponse.toJSON(this.#application.trainingRuns.objectives());
  }

  @Serves('jsigr.v1.ModelService/ListModels')
  @Get('models')
  async models(@Query() query: unknown, @From() caller: Caller) {
    const request = messageFromJson(ListModelsRequest, query);
    return ListModelsResponse.toJSON(await this.#application.models.list(request, caller));
  }

  @Serves('jsigr.v1.ModelService/GetModel')
  @Get('models/:digest')
  async model(@Param('digest') digest: string, @From() caller: Caller) {
    const model = await this.#application.models.get({ name: `models/${digest}` }, caller);
    return GetModelResponse.toJSON({ model });
  }

  @Serves('jsigr.v1.ModelService/ReadModelFile')
  @Get('models/:digest/files/:path')
  async modelFile(
    @Param('digest') digest: string,
    @Param('path') path: string,
    @Query() query: object,
    @From() caller: Caller,
    @Res() response: ServerResponse,
  ) {
    const request = messageFromJson(ReadModelFileRequest, { ...query, name: `models/${digest}`, path });
    await sendBytes(this.#application.models.readFile(request, caller), response);
  }

  @Serves('jsigr.v1.DatasetService/ListDatasets')
  @Get('datasets')
  async datasets(@Query() query: unknown) {
    const request = messageFromJson(ListDatasetsRequest, query);
    return ListDatasetsResponse.toJSON(await this.#application.datasets.list(request));
  }

  @Serves('jsigr.v1.DatasetService/GetDataset')
  @Get('datasets/:id')
  async dataset(@Param('id') id: string) {
    return GetDatasetResponse.toJSON({ dataset: await this.#application.datasets.get({ name: `datasets/${id}` }) });
  }

  @Serves('jsigr.v1.DatasetService/ReadDatasetFile')
  @Get('datasets/:id/files/:path')
  async datasetFile(
    @Param('id') id: string,
    @Param('path') path: string,
    @Query() query: object,
    @From() caller: Caller,
    @Res() response: ServerResponse,
  ) {
    const request = messageFromJson(ReadDatasetFileRequest, { ...query, name: `datasets/${id}`, path });
    await sendBytes(this.#application.datasets.readFile(request, caller), response);
  }

  @Serves('jsigr.v1.DatasetService/ImportDataset')
  @Post('datasets\\:import')
  @HttpCode(200)
  async import(@Body() body: unknown, @From() caller: Caller) {
    const dataset = await this.#application.datasets.import(messageFromJson(ImportDatasetRequest, body), caller);
    return ImportDatasetResponse.toJSON({ dataset });
  }

  @Serves('jsigr.v1.ExplanationService/Explain')
  @Post('explain')
  @HttpCode(200)
  async explain(
    @Body() body: unknown,
    @From() caller: Caller,
    @Headers('prefer') prefer: string | undefined,
    @Res({ passthrough: true }) response: ServerResponse,
  ) {
    const controller = new AbortController();
    response.once('close', () => controller.abort(new DOMException('the client went away', 'AbortError')));
    const request = messageFromJson(ExplainRequest, body);
    const { explanations } = this.#application;
    return ExplainResponse.toJSON(await explanations.explain(request, caller, controller.signal, waitOf(prefer)));
  }
}
