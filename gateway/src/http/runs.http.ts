import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CancelEvaluationResponse,
  CancelTrainingRunResponse,
  CreateEvaluationRequest,
  CreateEvaluationResponse,
  CreateTrainingRunRequest,
  CreateTrainingRunResponse,
  GetEvaluationResponse,
  GetTrainingRunResponse,
  ListEvaluationsRequest,
  ListEvaluationsResponse,
  ListTrainingRunsRequest,
  ListTrainingRunsResponse,
  type RunEvent,
  type RunState,
  WatchEvaluationResponse,
  WatchTrainingRunResponse,
} from '@jsigr/proto';
import { outOfRange } from '@jsigr/service';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { APPLICATION, type Application } from '../application/application.ts';
import { isFinal } from '../store/state-machine.ts';
import { messageFromJson } from './message-json.ts';
import { resumeAfter, sendEvents } from './server-sent-events.ts';

@Controller('v1/trainingRuns')
export class TrainingRunsHttp {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown) {
    const trainingRun = await this.#application.trainingRuns.create(messageFromJson(CreateTrainingRunRequest, body));
    return CreateTrainingRunResponse.toJSON({ trainingRun });
  }

  @Get()
  async list(@Query() query: unknown) {
    const request = messageFromJson(ListTrainingRunsRequest, query);
    return ListTrainingRunsResponse.toJSON(await this.#application.trainingRuns.list(request));
  }

  @Get(':id')
  async get(@Param('id') id: string) {
    const trainingRun = await this.#application.trainingRuns.get({ name: `trainingRuns/${id}` });
    return GetTrainingRunResponse.toJSON({ trainingRun });
  }

  @Post(':id\\:cancel')
  @HttpCode(200)
  async cancel(@Param('id') id: string) {
    const trainingRun = await this.#application.trainingRuns.cancel({ name: `trainingRuns/${id}` });
    return CancelTrainingRunResponse.toJSON({ trainingRun });
  }

  @Get(':id/events')
  async events(
    @Param('id') id: string,
    @Query('after_sequence') parameter: string | undefined,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ) {
    const { trainingRuns } = this.#application;
    const name = `trainingRuns/${id}`;
    const afterSequence = resumeAfter(request, parameter);
    await watching(await trainingRuns.get({ name }), afterSequence, response, (signal) =>
      sentEvents(trainingRuns.watch({ name, afterSequence }, signal), WatchTrainingRunResponse),
    );
  }
}

@Controller('v1/evaluations')
export class EvaluationsHttp {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown) {
    const evaluation = await this.#application.evaluations.create(messageFromJson(CreateEvaluationRequest, body));
    return CreateEvaluationResponse.toJSON({ evaluation });
  }

  @Get()
  async list(@Query() query: unknown) {
    const request = messageFromJson(ListEvaluationsRequest, query);
    return ListEvaluationsResponse.toJSON(await this.#application.evaluations.list(request));
  }

  @Get(':id')
  async get(@Param('id') id: string) {
    const evaluation = await this.#application.evaluations.get({ name: `evaluations/${id}` });
    return GetEvaluationResponse.toJSON({ evaluation });
  }

  @Post(':id\\:cancel')
  @HttpCode(200)
  async cancel(@Param('id') id: string) {
    const evaluation = await this.#application.evaluations.cancel({ name: `evaluations/${id}` });
    return CancelEvaluationResponse.toJSON({ evaluation });
  }

  @Get(':id/events')
  async events(
    @Param('id') id: string,
    @Query('after_sequence') parameter: string | undefined,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ) {
    const { evaluations } = this.#application;
    const name = `evaluations/${id}`;
    const afterSequence = resumeAfter(request, parameter);
    await watching(await evaluations.get({ name }), afterSequence, response, (signal) =>
      sentEvents(evaluations.watch({ name, afterSequence }, signal), WatchEvaluationResponse),
    );
  }
}

interface Watched {
  readonly state: RunState;
  readonly lastSequence: number;
}

/** A browser comes again after every end: 204 tells it that there is nothing more to come. */
async function watching(
  { state, lastSequence }: Watched,
  afterSequence: number,
  response: ServerResponse,
  source: Parameters<typeof sendEvents>[1],
): Promise<void> {
  if (afterSequence > lastSequence)
    throw outOfRange('afterSequence', `${afterSequence} given, the newest event is ${lastSequence}`);
  if (!isFinal(state) || afterSequence < lastSequence) return sendEvents(response, source);
  response.writeHead(204).end();
}

async function* sentEvents<T extends { event: RunEvent | undefined }>(
  responses: AsyncIterable<T>,
  type: { toJSON(message: T): unknown },
) {
  for await (const response of responses) yield { id: response.event?.sequence ?? 0, data: type.toJSON(response) };
}
