import { setTimeout } from 'node:timers/promises';
import {
  type Evaluation,
  EvaluationServiceClient,
  type ExplainResponse,
  ExplanationServiceClient,
  MaintenanceServiceClient,
  ModelServiceClient,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingServiceClient,
} from '@jsigr/proto';
import { connect, JsigrError, serverStream, unary } from '@jsigr/service/client';
import type { Acknowledged, Asked, Explained, Explanation, Walk, Watched } from './oracle.ts';
import { evaluations as evaluationsOf, explanationsOf, trainings } from './recipes.ts';

/** What a client may be told while the gateway is being killed; anything else is a fault of its own. */
const PASSING = ['UNAVAILABLE', 'CANCELLED', 'DEADLINE_EXCEEDED'];
const AGAIN_MS = 250;
const DEADLINE_MS = 20_000;

export type Run = TrainingRun | Evaluation;

/** Clients of a gateway that comes and goes. Each call is made again until it is answered, or until they stop. */
export class Clients {
  readonly acknowledged = new Map<string, Acknowledged>();
  readonly watched: Watched[] = [];
  readonly explained: Explained[] = [];
  readonly walks: Walk[] = [];
  readonly resent: Asked[] = [];
  readonly faults: string[] = [];
  /** What is not answered yet, for whoever wonders what everybody waits for. */
  readonly waiting = new Set<string>();
  readonly #address: () => string;
  readonly #prefix: string;
  readonly #stopped = new AbortController();
  #requests = 0;
  #calls = 0;

  /** @param prefix of request ids: other clients of the same gateway have others */
  constructor(address: () => string, prefix = 'request') {
    this.#address = address;
    this.#prefix = prefix;
  }

  /** Nothing is tried again any more. */
  stop(): void {
    this.#stopped.abort();
  }

  /** @param model see `recipes` */
  async create(recipe: string, model = ''): Promise<string> {
    const requestId = `${this.#prefix}-${++this.#requests}`;
    const name = await this.#ask(requestId, recipe, model);
    this.acknowledged.set(name, { requestId, name, recipe, cancelAsked: false, cancelled: false });
    return name;
  }

  /** The same request again, as after a lost answer; and another one under the same id, which must be refused. */
  async resend({ requestId, name, recipe }: Acknowledged, model: string): Promise<void> {
    this.resent.push({ requestId, first: name, again: await this.#ask(requestId, recipe, model) });
    const other = recipe === 'plain' ? 'jsigr' : 'plain';
    if (recipe in evaluationsOf) return; // another service, whose ids are its own
    const made = await this.#ask(requestId, other, model, ['REQUEST_ID_REUSED']).catch((error: unknown) => {
      if (JsigrError.from(error).reason !== 'REQUEST_ID_REUSED') throw error;
      return undefined;
    });
    if (made !== undefined) this.faults.push(`the request id ${requestId} of ${name} was taken for another request`);
  }

  #ask(requestId: string, recipe: string, model: string, expected: readonly string[] = []): Promise<string> {
    const call = async ({ training, evaluations }: Connected) => {
      const options = { deadlineMs: DEADLINE_MS };
      const [spec, evaluated] = [trainings[recipe]?.(model), evaluationsOf[recipe]?.(model)];
      const created = evaluated
        ? (await unary(evaluations, 'createEvaluation', { spec: evaluated, requestId, labels: {} }, options)).evaluation
        : (await unary(training, 'createTrainingRun', { spec, displayName: '', labels: {}, requestId }, options))
            .trainingRun;
      return created?.name ?? '';
    };
    return this.patiently(`create ${recipe}`, call, expected);
  }

  async cancel(name: string): Promise<void> {
    const known = this.acknowledged.get(name);
    if (!known || known.cancelAsked) return;
    this.acknowledged.set(name, { ...known, cancelAsked: true });
    const cancelled = await this.patiently(`cancel ${name}`, async ({ training, evaluations }) => {
      const request = { name, etag: '' };
      const call = name.startsWith('trainingRuns/')
        ? unary(training, 'cancelTrainingRun', request, { deadlineMs: DEADLINE_MS })
        : unary(evaluations, 'cancelEvaluation', request, { deadlineMs: DEADLINE_MS });
      return call.then(
        () => true,
        (error) => {
          // It had ended; or an earlier attempt had got through.
          if (JsigrError.from(error).reason === 'RUN_FINISHED') return false;
          throw error;
        },
      );
    });
    this.acknowledged.set(name, { ...known, cancelAsked: true, cancelled });
  }

  /** Watches to the end, over as many connections as it takes. @param cuts how long a connection is kept, in milliseconds; after them to the end */
  async watch(name: string, cuts: readonly number[] = []): Promise<void> {
    const events: RunEvent[] = [];
    const seen = { run: name, events, ended: false };
    this.watched.push(seen);
    const left = [...cuts];
    while (!seen.ended)
      seen.ended = await this.patiently(`watch ${name}`, async ({ training, evaluations }) => {
        const request = { name, afterSequence: events.at(-1)?.sequence ?? 0 };
        const cutMs = left.shift();
        const cut = cutMs === undefined ? undefined : AbortSignal.timeout(cutMs);
        const options = { signal: AbortSignal.any([this.#stopped.signal, ...(cut ? [cut] : [])]) };
        const stream = name.startsWith('trainingRuns/')
          ? serverStream(training, 'watchTrainingRun', request, options)
          : serverStream(evaluations, 'watchEvaluation', request, options);
        try {
          for await (const { event } of stream) if (event) events.push(event);
        } catch (error) {
          if (!cut?.aborted) throw error;
        }
        const last = events.findLast(({ payload }) => payload?.$case === 'stateChanged')?.payload;
        return last?.$case === 'stateChanged' && isFinal(last.value.state);
      });
  }

  /** @param which of `explanationsOf(model)` */
  async explain(model: string, which: number): Promise<void> {
    const request = explanationsOf(model)[which];
    if (!request) return;
    const answer = await this.patiently('explain', ({ explanations }) =>
      unary(explanations, 'explain', request, { deadlineMs: DEADLINE_MS }),
    );
    this.explained.push({ which, answer: comparable(answer) });
  }

  /** Goes through a list by pages, while others add to it. */
  async list(kind: 'trainingRuns' | 'evaluations', pageSize: number): Promise<void> {
    const before = [...this.acknowledged.keys()].filter((name) => name.startsWith(kind));
    const shown: string[] = [];
    let pageToken = '';
    do {
      const page = { pageSize, pageToken };
      const { names, next } = await this.patiently(`list ${kind}`, async ({ training, evaluations }) => {
        const options = { deadlineMs: DEADLINE_MS };
        if (kind === 'trainingRuns') {
          const { trainingRuns, nextPageToken } = await unary(training, 'listTrainingRuns', page, options);
          return { names: trainingRuns.map(({ name }) => name), next: nextPageToken };
        }
        const { evaluations: found, nextPageToken } = await unary(evaluations, 'listEvaluations', page, options);
        return { names: found.map(({ name }) => name), next: nextPageToken };
      });
      shown.push(...names);
      pageToken = next;
    } while (pageToken);
    this.walks.push({ before, shown });
  }

  async get(name: string): Promise<Run | undefined> {
    return this.patiently(`get ${name}`, async ({ training, evaluations }) =>
      name.startsWith('trainingRuns/')
        ? (await unary(training, 'getTrainingRun', { name }, { deadlineMs: DEADLINE_MS })).trainingRun
        : (await unary(evaluations, 'getEvaluation', { name }, { deadlineMs: DEADLINE_MS })).evaluation,
    );
  }

  /** Of the runs that they know those that have not ended. */
  async open(): Promise<string[]> {
    const runs = await Promise.all([...this.acknowledged.keys()].map((name) => this.get(name)));
    return runs.flatMap((run) => (run && !isFinal(run.state) ? [run.name] : []));
  }

  async collectGarbage(): Promise<void> {
    const none = { seconds: 0, nanos: 0 };
    const request = { dryRun: false, minAge: none, keepProgress: undefined };
    await this.patiently('gc', ({ maintenance }) => unary(maintenance, 'collectGarbage', request));
  }

  /**
   * Makes a call until it is answered. What is no sign of a gateway that is away is thrown, and noted as a fault.
   * @param expected reasons of errors that are none
   */
  async patiently<T>(
    what: string,
    call: (clients: Connected) => Promise<T>,
    expected: readonly string[] = [],
  ): Promise<T> {
    const note = `${what} (${++this.#calls})`;
    this.waiting.add(note);
    try {
      for (;;) {
        this.#stopped.signal.throwIfAborted();
        const clients = connectTo(this.#address());
        try {
          return await call(clients);
        } catch (error) {
          const { code, message, reason } = JsigrError.from(error);
          const passing = PASSING.some((name) => name === statusNames[code]);
          if (!passing && !expected.includes(reason)) this.faults.push(`${what}: ${reason}: ${message}`);
          if (!passing) throw error;
        } finally {
          for (const client of Object.values(clients)) client.close();
        }
        await setTimeout(AGAIN_MS);
      }
    } finally {
      this.waiting.delete(note);
    }
  }
}

function comparable(answer: ExplainResponse): Explanation {
  const { predicted, target, probabilities, attribution, overlay } = answer;
  const bytes = Uint8Array.from(attribution?.data ?? []);
  return {
    predicted,
    target,
    probabilities,
    attribution: [...new Float32Array(bytes.buffer)],
    isOverlaid: overlay.length > 0,
  };
}

export interface Connected {
  readonly training: TrainingServiceClient;
  readonly evaluations: EvaluationServiceClient;
  readonly explanations: ExplanationServiceClient;
  readonly models: ModelServiceClient;
  readonly maintenance: MaintenanceServiceClient;
}

function connectTo(address: string): Connected {
  return {
    training: connect(TrainingServiceClient, { address }),
    evaluations: connect(EvaluationServiceClient, { address }),
    explanations: connect(ExplanationServiceClient, { address }),
    models: connect(ModelServiceClient, { address }),
    maintenance: connect(MaintenanceServiceClient, { address }),
  };
}

const statusNames: Readonly<Record<number, string>> = { 1: 'CANCELLED', 4: 'DEADLINE_EXCEEDED', 14: 'UNAVAILABLE' };

const FINAL: readonly RunState[] = [
  RunState.RUN_STATE_SUCCEEDED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
];

export function isFinal(state: RunState): boolean {
  return FINAL.includes(state);
}
