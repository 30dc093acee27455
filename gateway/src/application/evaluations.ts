import {
  type CancelEvaluationRequest,
  type CreateEvaluationRequest,
  type Dataset,
  Evaluation,
  EvaluationSpec,
  type GetEvaluationRequest,
  type ListEvaluationsRequest,
  ListEvaluationsResponse,
  type Model,
  type WatchEvaluationRequest,
  type WatchEvaluationResponse,
} from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import type { Conductor } from '../conductor/conductor.ts';
import type { RunStore, StoredRun } from '../store/runs.ts';
import type { Datasets } from './datasets.ts';
import { checkPlan, completePlan } from './evaluation-plan.ts';
import type { Models } from './models.ts';
import { idOf } from './names.ts';
import { requestOf } from './request-id.ts';
import { checkSurrogates } from './surrogate-names.ts';
import { Violations } from './violations.ts';
import { watchRun } from './watch.ts';

export class Evaluations {
  readonly #runs: RunStore;
  readonly #datasets: Datasets;
  readonly #models: Models;
  readonly #conductor: Conductor;

  constructor(runs: RunStore, datasets: Datasets, models: Models, conductor: Conductor) {
    this.#runs = runs;
    this.#datasets = datasets;
    this.#models = models;
    this.#conductor = conductor;
  }

  /** @throws JsigrError INVALID_ARGUMENT with a violation for each bad field; ALREADY_EXISTS REQUEST_ID_REUSED. */
  async create({ spec, requestId }: CreateEvaluationRequest): Promise<Evaluation> {
    const given = EvaluationSpec.fromPartial(spec ?? {});
    const violations = new Violations();
    if (!spec) violations.add('spec', 'is missing');
    const model = await this.#model(given.model, violations);
    const dataset = await this.#dataset(given.dataset || (model?.dataset ?? ''), model, violations);
    const plan = completePlan(given.plan, 'test', dataset);
    checkPlan(plan, 'spec.plan', dataset, violations);
    await checkSurrogates(plan.surrogates, 'spec.plan.surrogates', dataset, this.#models, violations);
    const complete = { model: model?.name ?? '', dataset: dataset?.name ?? '', plan };
    const stored = EvaluationSpec.toJSON(complete);
    const idempotent = requestOf(requestId, { spec: stored }, violations);
    violations.throwIfAny();
    const run = await this.#runs.create({ kind: 'evaluation', spec: stored, ...idempotent });
    this.#conductor.submit(run);
    return evaluation(run);
  }

  async get({ name }: GetEvaluationRequest): Promise<Evaluation> {
    return evaluation(await this.#runs.get('evaluation', idOf('evaluations', name)));
  }

  /** Reports come without their example images here; GetEvaluation has them. */
  async list(request: ListEvaluationsRequest): Promise<ListEvaluationsResponse> {
    const { items, nextPageToken } = await this.#runs.list('evaluation', request);
    const evaluations = items.map(evaluation).map((each) => ({
      ...each,
      report: each.report && { ...each.report, examples: [] },
    }));
    return ListEvaluationsResponse.fromPartial({ evaluations, nextPageToken });
  }

  async cancel({ name }: CancelEvaluationRequest): Promise<Evaluation> {
    return evaluation(await this.#conductor.cancel('evaluation', idOf('evaluations', name)));
  }

  async *watch(
    { name, afterSequence }: WatchEvaluationRequest,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvaluationResponse> {
    const run = { kind: 'evaluation', id: idOf('evaluations', name) } as const;
    for await (const event of watchRun(this.#runs, run, afterSequence, signal)) yield { event };
  }

  async #model(name: string, violations: Violations): Promise<Model | undefined> {
    return this.#models.byName(name, 'spec.model').catch((error) => {
      const { message } = JsigrError.from(error);
      violations.add('spec.model', message.replace('spec.model: ', ''));
      return undefined;
    });
  }

  async #dataset(name: string, model: Model | undefined, violations: Violations): Promise<Dataset | undefined> {
    if (!name) {
      if (model) violations.add('spec.dataset', 'is missing: the model was imported, and names no dataset of its own');
      return undefined;
    }
    const id = violations.try('spec.dataset', () => idOf('datasets', name, 'spec.dataset'));
    if (id === undefined) return undefined;
    const known = await this.#datasets.known();
    if (!known.includes(id)) {
      violations.add('spec.dataset', `there is no dataset ${name}; known: ${known.join(', ')}`);
      return undefined;
    }
    const dataset = await this.#datasets.byId(id);
    if (model && (dataset.input.join() !== model.input.join() || dataset.classNames.length !== model.classes))
      violations.add(
        'spec.dataset',
        `${name} has images of [${dataset.input}] in ${dataset.classNames.length} classes, the model takes [${model.input}] in ${model.classes}`,
      );
    return dataset;
  }
}

export function evaluation(run: StoredRun): Evaluation {
  return {
    ...Evaluation.fromJSON(run.summary),
    name: `evaluations/${run.id}`,
    spec: EvaluationSpec.fromJSON(run.spec),
    state: run.state,
    stateReason: run.reason,
    createTime: run.createTime,
    startTime: run.startTime,
    endTime: run.endTime,
    lastSequence: run.lastSequence,
  };
}
