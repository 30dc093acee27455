import {
  type CreateEvaluationRequest,
  type Dataset,
  Evaluation,
  EvaluationSpec,
  type ListEvaluationsRequest,
  type ListEvaluationsResponse,
  type Model,
  type ReadEvaluationFileRequest,
  type ReadEvaluationFileResponse,
} from '@jsigr/proto';
import { type ArtefactStore, failedPrecondition } from '@jsigr/service';
import type { Caller } from '../access/caller.ts';
import type { StoredRun } from '../store/runs.ts';
import { stateName } from '../store/state-machine.ts';
import {
  checkAccess,
  checkMatrixPlan,
  checkPlan,
  checkSharing,
  completeBlackBoxPlan,
  completeMatrixPlan,
  completePlan,
} from './evaluation-plan.ts';
import { fileChunks } from './file-chunks.ts';
import { checkLabels } from './labels.ts';
import type { ModelFinder } from './models.ts';
import { idOf } from './names.ts';
import { requestOf } from './request-id.ts';
import { type RunMeans, Runs } from './runs.ts';
import { checkSurrogates } from './surrogate-names.ts';
import { Violations } from './violations.ts';

const MOST_SHARDS = 64;
/** Rows of a transfer matrix. */
const MOST_MODELS = 16;

export class Evaluations extends Runs<Evaluation> {
  readonly #artefacts: ArtefactStore;

  constructor(means: RunMeans, artefacts: ArtefactStore) {
    super('evaluation', means);
    this.#artefacts = artefacts;
  }

  /** @throws JsigrError INVALID_ARGUMENT with a violation for each bad field; ALREADY_EXISTS REQUEST_ID_REUSED. */
  async create({ spec, requestId, labels }: CreateEvaluationRequest, caller: Caller): Promise<Evaluation> {
    const given = EvaluationSpec.fromPartial(spec ?? {});
    const violations = new Violations();
    if (!spec) violations.add('spec', 'is missing');
    checkLabels(labels, { from: caller, violations });
    violations.integer('spec.shards', given.shards, 0, MOST_SHARDS);
    const models = this.means.models.visibleTo(caller);
    const complete =
      given.models.length > 0
        ? await this.#matrix(given, models, violations)
        : await this.#single(given, models, violations);
    const stored = EvaluationSpec.toJSON(complete);
    const idempotent = requestOf(requestId, { spec: stored, labels }, violations);
    violations.throwIfAny();
    return this.keep({ spec: stored, labels, ...idempotent }, caller);
  }

  async #single(given: EvaluationSpec, models: ModelFinder, violations: Violations): Promise<EvaluationSpec> {
    const model = await this.#model(models, given.model, 'spec.model', violations);
    const dataset = await this.#dataset(given.dataset || (model?.dataset ?? ''), model ? [model] : [], violations);
    const plan = model?.blackBox
      ? completeBlackBoxPlan(given.plan, model, dataset)
      : completePlan(given.plan, 'test', dataset);
    checkPlan(plan, 'spec.plan', dataset, violations);
    if (model) checkAccess(plan, 'spec.plan', model, violations);
    if (/^[0-9a-f]{64}$/.test(plan.resumeLedger) && !(await this.#artefacts.has('ledgers', plan.resumeLedger)))
      violations.add('spec.plan.resumeLedger', `there is no ledger ${plan.resumeLedger}`);
    checkSharing(plan, 'spec.plan', given.shards, violations);
    const surrogates = await checkSurrogates(plan.surrogates, 'spec.plan.surrogates', dataset, models, violations);
    return {
      model: model?.name ?? '',
      dataset: dataset?.name ?? '',
      plan: { ...plan, surrogates },
      models: [],
      shards: given.shards,
    };
  }

  async #matrix(given: EvaluationSpec, models: ModelFinder, violations: Violations): Promise<EvaluationSpec> {
    const { models: names } = given;
    if (given.model) violations.add('spec.model', 'stands beside models: give one of the two');
    if (given.shards > 1)
      violations.add('spec.shards', `${given.shards} given: a transfer matrix is made by one attacker`);
    if (names.length < 2 || names.length > MOST_MODELS)
      violations.add('spec.models', `${names.length} given, 2 to ${MOST_MODELS} allowed`);
    const found: Model[] = [];
    for (const [i, name] of names.slice(0, MOST_MODELS).entries()) {
      const model = await this.#model(models, name, `spec.models[${i}]`, violations);
      if (model && found.some((other) => other.name === model.name))
        violations.add(`spec.models[${i}]`, `${model.name} is there already`);
      if (model) found.push(model);
    }
    const known = found.find(({ dataset }) => dataset)?.dataset ?? '';
    const dataset = await this.#dataset(given.dataset || known, found, violations);
    const plan = completeMatrixPlan(given.plan, dataset);
    checkPlan(plan, 'spec.plan', dataset, violations);
    checkMatrixPlan(plan, 'spec.plan', violations);
    return {
      model: '',
      dataset: dataset?.name ?? '',
      plan,
      models: found.map(({ name }) => name),
      shards: given.shards,
    };
  }

  /** Reports come without their example images here; GetEvaluation has them. */
  async list(request: ListEvaluationsRequest, caller: Caller): Promise<ListEvaluationsResponse> {
    const { items, nextPageToken } = await this.page(request, caller);
    const evaluations = items.map((each) => ({
      ...each,
      report: each.report && { ...each.report, examples: [] },
    }));
    return { evaluations, nextPageToken };
  }

  async *readFile(
    { name, path, readOffset }: ReadEvaluationFileRequest,
    caller: Caller,
  ): AsyncGenerator<ReadEvaluationFileResponse> {
    const { report, transferMatrix, state } = await this.get({ name }, caller);
    const ledger = report?.ledger || transferMatrix?.ledger;
    if (!ledger)
      throw failedPrecondition(
        'NO_LEDGER',
        `${name} is ${stateName(state)}: it has no ledger`,
        'wait until it succeeded',
      );
    const chunks = fileChunks(this.#artefacts, 'ledgers', ledger, path, readOffset);
    yield* this.means.limits.during(caller.tenant, 'reads', chunks);
  }

  protected view(run: StoredRun): Evaluation {
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
      etag: run.etag,
      retries: run.retries,
      tenant: run.tenant,
      labels: { ...run.labels },
    };
  }

  async #model(models: ModelFinder, name: string, field: string, violations: Violations): Promise<Model | undefined> {
    return models(name, field).catch((error) => violations.addError(field, error));
  }

  async #dataset(name: string, models: readonly Model[], violations: Violations): Promise<Dataset | undefined> {
    if (!name) {
      if (models.length > 0)
        violations.add('spec.dataset', 'is missing: the model was imported, and names no dataset of its own');
      return undefined;
    }
    const id = violations.try('spec.dataset', () => idOf('datasets', name, 'spec.dataset'));
    if (id === undefined) return undefined;
    const { datasets } = this.means;
    const known = await datasets.known();
    if (!known.includes(id)) {
      violations.add('spec.dataset', `there is no dataset ${name}; known: ${known.join(', ')}`);
      return undefined;
    }
    const dataset = await datasets.byId(id);
    for (const model of models)
      if (dataset.input.join() !== model.input.join() || dataset.classNames.length !== model.classes)
        violations.add(
          'spec.dataset',
          `${name} has images of [${dataset.input}] in ${dataset.classNames.length} classes, ${models.length > 1 ? model.name : 'the model'} takes [${model.input}] in ${model.classes}`,
        );
    return dataset;
  }
}
