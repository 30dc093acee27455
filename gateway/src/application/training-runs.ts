import { objectivesHelp, techniquesHelp } from '@jsigr/defenses';
import {
  type CreateTrainingRunRequest,
  type Dataset,
  ListObjectivesResponse,
  type ListTrainingRunsRequest,
  type ListTrainingRunsResponse,
  type Model,
  TrainingRun,
  TrainingSpec,
} from '@jsigr/proto';
import type { Caller } from '../access/caller.ts';
import type { StoredRun } from '../store/runs.ts';
import { needsSurrogates } from './evaluation-plan.ts';
import { checkLabels } from './labels.ts';
import type { ModelFinder } from './models.ts';
import { idOf } from './names.ts';
import { requestOf } from './request-id.ts';
import { type RunMeans, Runs } from './runs.ts';
import { checkSurrogates } from './surrogate-names.ts';
import { checkSpec, completeSpec } from './training-spec.ts';
import { checkUndertaking } from './undertaking.ts';
import { Violations } from './violations.ts';

const MOST_NAME_CHARACTERS = 100;

export class TrainingRuns extends Runs<TrainingRun> {
  constructor(means: RunMeans) {
    super('training', means);
  }

  /** @throws JsigrError INVALID_ARGUMENT with a violation for each bad field; ALREADY_EXISTS REQUEST_ID_REUSED. */
  async create(request: CreateTrainingRunRequest, caller: Caller): Promise<TrainingRun> {
    const { displayName, labels, requestId } = request;
    const violations = new Violations();
    if (!request.spec) violations.add('spec', 'is missing');
    violations.text('displayName', displayName, MOST_NAME_CHARACTERS);
    checkLabels(labels, { from: caller, violations });
    const dataset = await this.#dataset(request.spec?.dataset ?? '', violations);
    const complete = completeSpec(TrainingSpec.fromPartial(request.spec ?? {}), dataset);
    checkSpec(complete, dataset, violations);
    const models = this.means.models.visibleTo(caller);
    const means = { find: models, heldOutBy: (model: Model) => this.means.models.heldOutBy(model) };
    const spec = await checkUndertaking(complete, dataset, means, violations);
    const stored = TrainingSpec.toJSON(await withFullNames(spec, dataset, models, violations));
    // What people call it makes it no other run.
    const idempotent = requestOf(requestId, { spec: stored, labels }, violations);
    violations.throwIfAny();
    return this.keep({ spec: stored, displayName, labels, ...idempotent }, caller);
  }

  async list(request: ListTrainingRunsRequest, caller: Caller): Promise<ListTrainingRunsResponse> {
    const { items, nextPageToken } = await this.page(request, caller);
    return { trainingRuns: items, nextPageToken };
  }

  /** What can be trained, from the registry. */
  objectives(): ListObjectivesResponse {
    return ListObjectivesResponse.fromPartial({
      objectives: objectivesHelp().map((each) => ({ ...each, settings: [...each.settings] })),
      techniques: [...techniquesHelp()],
    });
  }

  protected view(run: StoredRun): TrainingRun {
    return {
      ...TrainingRun.fromJSON(run.summary),
      name: `trainingRuns/${run.id}`,
      displayName: run.displayName,
      spec: TrainingSpec.fromJSON(run.spec),
      state: run.state,
      stateReason: run.reason,
      createTime: run.createTime,
      startTime: run.startTime,
      endTime: run.endTime,
      lastSequence: run.lastSequence,
      labels: { ...run.labels },
      etag: run.etag,
      retries: run.retries,
      tenant: run.tenant,
    };
  }

  async #dataset(name: string, violations: Violations): Promise<Dataset | undefined> {
    const id = violations.try('spec.dataset', () => idOf('datasets', name, 'spec.dataset'));
    if (id === undefined) return undefined;
    const { datasets } = this.means;
    const known = await datasets.known();
    if (known.includes(id)) return datasets.byId(id);
    violations.add('spec.dataset', `there is no dataset ${name}; known: ${known.join(', ')}`);
    return undefined;
  }
}

/** The surrogates of the loop's plan by their full names, if it needs any. */
async function withFullNames(
  spec: TrainingSpec,
  dataset: Dataset | undefined,
  models: ModelFinder,
  violations: Violations,
): Promise<TrainingSpec> {
  const { loop } = spec;
  if (!loop?.plan || !needsSurrogates(loop.plan)) return spec;
  const field = 'spec.loop.plan.surrogates';
  const surrogates = await checkSurrogates(loop.plan.surrogates, field, dataset, models, violations);
  return { ...spec, loop: { ...loop, plan: { ...loop.plan, surrogates } } };
}
