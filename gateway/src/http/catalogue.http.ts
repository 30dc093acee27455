import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
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
} from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import { APPLICATION, type Application } from '../application/application.ts';
import { messageFromJson } from './message-json.ts';

@Controller('v1')
export class CatalogueHttp {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @Get('objectives')
  objectives() {
    return ListObjectivesResponse.toJSON(this.#application.trainingRuns.objectives());
  }

  @Get('models')
  async models(@Query() query: unknown) {
    return ListModelsResponse.toJSON(await this.#application.models.list(messageFromJson(ListModelsRequest, query)));
  }

  @Get('models/:digest')
  async model(@Param('digest') digest: string) {
    return GetModelResponse.toJSON({ model: await this.#application.models.get({ name: `models/${digest}` }) });
  }

  @Get('models/:digest/files/:path')
  async modelFile(
    @Param('digest') digest: string,
    @Param('path') path: string,
    @Query('read_offset') offset: string | undefined,
    @Res() response: ServerResponse,
  ) {
    const request = { name: `models/${digest}`, path, readOffset: offsetOf(offset) };
    await sendBytes(this.#application.models.readFile(request), response);
  }

  @Get('datasets')
  async datasets(@Query() query: unknown) {
    const request = messageFromJson(ListDatasetsRequest, query);
    return ListDatasetsResponse.toJSON(await this.#application.datasets.list(request));
  }

  @Get('datasets/:id')
  async dataset(@Param('id') id: string) {
    return GetDatasetResponse.toJSON({ dataset: await this.#application.datasets.get({ name: `datasets/${id}` }) });
  }

  @Get('datasets/:id/files/:path')
  async datasetFile(
    @Param('id') id: string,
    @Param('path') path: string,
    @Query('read_offset') offset: string | undefined,
    @Res() response: ServerResponse,
  ) {
    const request = { name: `datasets/${id}`, path, readOffset: offsetOf(offset) };
    await sendBytes(this.#application.datasets.readFile(request), response);
  }

  @Post('datasets\\:import')
  @HttpCode(200)
  async import(@Body() body: unknown) {
    const dataset = await this.#application.datasets.import(messageFromJson(ImportDatasetRequest, body));
    return ImportDatasetResponse.toJSON({ dataset });
  }

  @Post('explain')
  @HttpCode(200)
  async explain(@Body() body: unknown, @Res({ passthrough: true }) response: ServerResponse) {
    const controller = new AbortController();
    response.once('close', () => controller.abort(new DOMException('the client went away', 'AbortError')));
    const request = messageFromJson(ExplainRequest, body);
    return ExplainResponse.toJSON(await this.#application.explanations.explain(request, controller.signal));
  }
}

function offsetOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidArgument('readOffset', `${JSON.stringify(text.slice(0, 40))} is not a number of bytes`);
}

/** The first chunk is fetched before anything is sent: until then an error is an answer. */
async function sendBytes(chunks: AsyncGenerator<{ data: Buffer }>, response: ServerResponse): Promise<void> {
  const first = await chunks.next();
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' });
  await pipeline(async function* () {
    if (!first.done) yield first.value.data;
    for await (const { data } of chunks) yield data;
  }, response).catch(() => undefined);
}
