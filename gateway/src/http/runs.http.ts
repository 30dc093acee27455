import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CreateEvaluationRequest,
  CreateTrainingRunRequest,
  type Evaluation,
  GetEvaluationResponse,
  GetTrainingRunResponse,
  ListEvaluationsRequest,
  ListEvaluationsResponse,
  ListTrainingRunsRequest,
  ListTrainingRunsResponse,
  type RunEvent,
  type TrainingRun,
  WatchTrainingRunResponse,
} from '@jsigr/proto';
import { outOfRange } from '@jsigr/service';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res, type Type } from '@nestjs/common';
import type { Caller } from '../access/caller.ts';
import type { Method } from '../access/table.ts';
import { APPLICATION, type Application } from '../application/application.ts';
import type { RunMethods } from '../application/runs.ts';
import type { PageRequest } from '../store/paging.ts';
import { isFinal } from '../store/state-machine.ts';
import { From, Serves } from './admission.ts';
import { offsetOf, sendBytes } from './file-bytes.ts';
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
    async cancel(@Param('id') id: string, @From() caller: Caller, @Query('etag') etag = '') {
      return one(await this.runs.cancel({ name: `${collection}/${id}`, etag }, caller));
    }

    @Serves(rule('Watch'))
    @Get(':id/events')
    async events(
      @Param('id') id: string,
      @Query('after_sequence') parameter: string | undefined,
      @From() caller: Caller,
      @Req() request: IncomingMessage,
      @Res() response: ServerResponse,
    ) {
      const name = `${collection}/${id}`;
      const afterSequence = resumeAfter(request, parameter);
      const { state, lastSequence } = await this.runs.get({ name }, caller);
      if (afterSequence > lastSequence)
        throw outOfRange('afterSequence', `${afterSequence} given, the newest event is ${lastSequence}`);
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
  response: (trainingRun: TrainingRun) => GetTrainingRunResponse.toJSON({ trainingRun }),
});

export const EvaluationsHttp = runsHttp({
  collection: 'evaluations',
  rule: (verb) => `jsigr.v1.EvaluationService/${verb}Evaluation${verb === 'List' ? 's' : ''}` as Method,
  methods: ({ evaluations }) => evaluations,
  createRequest: CreateEvaluationRequest,
  listRequest: ListEvaluationsRequest,
  listResponse: ListEvaluationsResponse,
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
    @Query('read_offset') offset: string | undefined,
    @From() caller: Caller,
    @Res() response: ServerResponse,
  ) {
    const request = { name: `evaluations/${id}`, path, readOffset: offsetOf(offset) };
    await sendBytes(this.#application.evaluations.readFile(request, caller), response);
  }
}

async function* sentEvents(source: AsyncIterable<{ event: RunEvent }>) {
  for await (const response of source)
    yield { id: response.event.sequence, data: WatchTrainingRunResponse.toJSON(response) };
}
