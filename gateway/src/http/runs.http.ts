import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CancelEvaluationRequest,
  CancelTrainingRunRequest,
  CreateEvaluationRequest,
  CreateTrainingRunRequest,
  type Evaluation,
  GetEvaluationResponse,
  GetTrainingRunResponse,
  ListEvaluationsRequest,
  ListEvaluationsResponse,
  ListTrainingRunsRequest,
  ListTrainingRunsResponse,
  ReadEvaluationFileRequest,
  type RunEvent,
  type TrainingRun,
  WatchEvaluationRequest,
  WatchTrainingRunRequest,
  WatchTrainingRunResponse,
} from '@jsigr/proto';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res, type Type } from '@nestjs/common';
import type { Caller } from '../access/caller.ts';
import type { Method } from '../access/table.ts';
import { APPLICATION, type Application } from '../application/application.ts';
import type { CancelRequest, RunMethods, WatchRequest } from '../application/runs.ts';
import { checkSequence } from '../application/watch.ts';
import type { PageRequest } from '../store/paging.ts';
import { isFinal } from '../store/state-machine.ts';
import { From, Serves } from './admission.ts';
import { sendBytes } from './file-bytes.ts';
import { type MessageJson, messageFromJson } from './message-json.ts';
import { resumeAfter, sendEvents } from './server-sent-events.ts';

interface RunsFace<Create, Run, List> {
  readonly collection: 'trainingRuns' | 'evaluations';
  /** Name in the access table of a method, e.g. `Create`. */
  readonly rule: (verb: 'Create' | 'Get' | 'List' | 'Cancel' | 'Watch') => Method;
  readonly methods: (application: Application) => RunMethods<Create, Run, List>;
  readonly createRequest: MessageJson<Create>;
  readonly listRequest: MessageJson<PageRequest>;
  readonly listResponse: Pick<MessageJson<List>, 'toJSON'>;
  readonly cancelRequest: MessageJson<CancelRequest>;
  readonly watchRequest: MessageJson<WatchRequest>;
  /** The answer that holds one run; it is the same for all methods. */
  readonly response: (run: Run) => unknown;
}

function runsHttp<Create, Run extends TrainingRun | Evaluation, List>({
  collection,
  rule,
  methods,
  createRequest,
  listRequest,
  listResponse,
  cancelRequest,
  watchRequest,
  response: one,
}: RunsFace<Create, Run, List>): Type<unknown> {
  @Controller(`v1/${collection}`)
  class RunsHttp {
    readonly runs: RunMethods<Create, Run, List>;

    constructor(@Inject(APPLICATION) application: Application) {
      this.runs = methods(application);
    }

    @Serves(rule('Create'))
    @Post()
    @HttpCode(200)
    async create(@Body() body: unknown, @From() caller: Caller) {
      return one(await this.runs.create(messageFromJson(createRequest, body), caller));
    }

    @Serves(rule('List'))
    @Get()
    async list(@Query() query: unknown, @From() caller: Caller) {
      return listResponse.toJSON(await this.runs.list(messageFromJson(listRequest, query), caller));
    }

    @Serves(rule('Get'))
    @Get(':id')
    async get(@Param('id') id: string, @From() caller: Caller) {
      return one(await this.runs.get({ name: `${collection}/${id}` }, caller));
    }

    @Serves(rule('Cancel'))
    @Post(':id\\:cancel')
    @HttpCode(200)
    async cancel(@Param('id') id: string, @From() caller: Caller, @Query() query: object, @Body() body?: object) {
      const request = messageFromJson(cancelRequest, { ...query, ...body, name: `${collection}/${id}` });
      return one(await this.runs.cancel(request, caller));
    }

    @Serves(rule('Watch'))
    @Get(':id/events')
    async events(
      @Param('id') id: string,
      @Query() query: object,
      @From() caller: Caller,
      @Req() request: IncomingMessage,
      @Res() response: ServerResponse,
    ) {
      const name = `${collection}/${id}`;
      const afterSequence = resumeAfter(request) ?? messageFromJson(watchRequest, { ...query, name }).afterSequence;
      const { state, lastSequence } = await this.runs.get({ name }, caller);
      checkSequence(afterSequence, lastSequence);
      // A browser comes again after every end: 204 tells it that there is nothing more to come.
      if (isFinal(state) && afterSequence === lastSequence) return void response.writeHead(204).end();
      await sendEvents(response, (signal) => sentEvents(this.runs.watch({ name, afterSequence }, caller, signal)));
    }
  }
  return RunsHttp;
}

export const TrainingRunsHttp = runsHttp({
  collection: 'trainingRuns',
  rule: (verb) => `jsigr.v1.TrainingService/${verb}TrainingRun${verb === 'List' ? 's' : ''}` as Method,
  methods: ({ trainingRuns }) => trainingRuns,
  createRequest: CreateTrainingRunRequest,
  listRequest: ListTrainingRunsRequest,
  listResponse: ListTrainingRunsResponse,
  cancelRequest: CancelTrainingRunRequest,
  watchRequest: WatchTrainingRunRequest,
  response: (trainingRun: TrainingRun) => GetTrainingRunResponse.toJSON({ trainingRun }),
});

export const EvaluationsHttp = runsHttp({
  collection: 'evaluations',
  rule: (verb) => `jsigr.v1.EvaluationService/${verb}Evaluation${verb === 'List' ? 's' : ''}` as Method,
  methods: ({ evaluations }) => evaluations,
  createRequest: CreateEvaluationRequest,
  listRequest: ListEvaluationsRequest,
  listResponse: ListEvaluationsResponse,
  cancelRequest: CancelEvaluationRequest,
  watchRequest: WatchEvaluationRequest,
  response: (evaluation: Evaluation) => GetEvaluationResponse.toJSON({ evaluation }),
});

@Controller('v1/evaluations')
export class EvaluationFilesHttp {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @Serves('jsigr.v1.EvaluationService/ReadEvaluationFile')
  @Get(':id/files/:path')
  async file(
    @Param('id') id: string,
    @Param('path') path: string,
    @Query() query: object,
    @From() caller: Caller,
    @Res() response: ServerResponse,
  ) {
    const request = messageFromJson(ReadEvaluationFileRequest, { ...query, name: `evaluations/${id}`, path });
    await sendBytes(this.#application.evaluations.readFile(request, caller), response);
  }
}

async function* sentEvents(source: AsyncIterable<{ event: RunEvent }>) {
  for await (const response of source)
    yield { id: response.event.sequence, data: WatchTrainingRunResponse.toJSON(response) };
}
