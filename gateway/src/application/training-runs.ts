import { objectivesHelp, techniquesHelp } from '@jsigr/defenses';
import {
  type CancelTrainingRunRequest,
  type CreateTrainingRunRequest,
  type Dataset,
  type GetTrainingRunRequest,
  ListObjectivesResponse,
  type ListTrainingRunsRequest,
  ListTrainingRunsResponse,
  TrainingRun,
  TrainingSpec,
  type WatchTrainingRunRequest,
  type WatchTrainingRunResponse,
} from '@jsigr/proto';
import type { Conductor } from '../conductor/conductor.ts';
import type { RunStore, StoredRun } from '../store/runs.ts';
import type { Datasets } from './datasets.ts';
import { needsSurrogates } from './evaluation-plan.ts';
import type { Models } from './models.ts';
import { idOf } from './names.ts';
import { requestOf } from './request-id.ts';
import { checkSurrogates } from './surrogate-names.ts';
import { checkSpec, completeSpec } from './training-spec.ts';
import { checkUndertaking } from './undertaking.ts';
import { Violations } from './violations.ts';
import { watchRun } from './watch.ts';

const MOST_LABELS = 16;
const MOST_LABEL_CHARACTERS = 63;
const MOST_NAME_CHARACTERS = 100;
/** Labels that the gateway sets itself: by them it finds its surrogates again. */
const RESERVED_LABELS = ['role', 'recipe'];

export class TrainingRuns {
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
  async create(request: CreateTrainingRunRequest): Promise<TrainingRun> {
    const { displayName, labels, requestId } = request;
    const violations = new Violations();
    if (!request.spec) violations.add('spec', 'is missing');
    violations.text('displayName', displayName, MOST_NAME_CHARACTERS);
    checkLabels(labels, violations);
    const dataset = await this.#dataset(request.spec?.dataset ?? '', violations);
    const complete = completeSpec(TrainingSpec.fromPartial(request.spec ?? {}), dataset);
    checkSpec(complete, dataset, violations);
    const spec = await checkUndertaking(complete, dataset, this.#models, violations);
    if (spec.loop?.plan && needsSurrogates(spec.loop.plan))
      await checkSurrogates(spec.loop.plan.surrogates, 'spec.loop.plan.surrogates', dataset, this.#models, violations);
    const stored = TrainingSpec.toJSON(spec);
    const idempotent = requestOf(requestId, { spec: stored, displayName, labels }, violations);
    violations.throwIfAny();
    const run = await this.#runs.create({ kind: 'training', spec: stored, displayName, labels, ...idempotent });
    this.#conductor.submit(run);
    return trainingRun(run);
  }

  async get({ name }: GetTrainingRunRequest): Promise<TrainingRun> {
    return trainingRun(await this.#runs.get('training', idOf('trainingRuns', name)));
  }

  async list(request: ListTrainingRunsRequest): Promise<ListTrainingRunsResponse> {
    const { items, nextPageToken } = await this.#runs.list('training', request);
    return ListTrainingRunsResponse.fromPartial({ trainingRuns: items.map(trainingRun), nextPageToken });
  }

  /** What can be trained, from the registry. */
  objectives(): ListObjectivesResponse {
    return ListObjectivesResponse.fromPartial({
      objectives: objectivesHelp().map((each) => ({ ...each, settings: [...each.settings] })),
      techniques: [...techniquesHelp()],
    });
  }

  async cancel({ name }: CancelTrainingRunRequest): Promise<TrainingRun> {
    return trainingRun(await this.#conductor.cancel('training', idOf('trainingRuns', name)));
  }

  async *watch(
    { name, afterSequence }: WatchTrainingRunRequest,
    signal: AbortSignal,
  ): AsyncGenerator<WatchTrainingRunResponse> {
    const run = { kind: 'training', id: idOf('trainingRuns', name) } as const;
    for await (const event of watchRun(this.#runs, run, afterSequence, signal)) yield { event };
  }

  async #dataset(name: string, violations: Violations): Promise<Dataset | undefined> {
    const id = violations.try('spec.dataset', () => idOf('datasets', name, 'spec.dataset'));
    if (id === undefined) return undefined;
    const known = await this.#datasets.known();
    if (known.includes(id)) return this.#datasets.byId(id);
    violations.add('spec.dataset', `there is no dataset ${name}; known: ${known.join(', ')}`);
    return undefined;
  }
}

function checkLabels(labels: Readonly<Record<string, string>>, violations: Violations): void {
  const entries = Object.entries(labels);
  if (entries.length > MOST_LABELS) violations.add('labels', `${entries.length} given, at most ${MOST_LABELS} allowed`);
  for (const [name, value] of entries) {
    if (RESERVED_LABELS.includes(name)) violations.add(`labels.${name}`, 'is set by the gateway itself');
    if (name === '' || name.length > MOST_LABEL_CHARACTERS || value.length > MOST_LABEL_CHARACTERS)
      violations.add('labels', `a label's name and value have at most ${MOST_LABEL_CHARACTERS} characters each`);
  }
}

/** A stored run as the contract has it; what follows from its events lies in the summary. */
export function trainingRun(run: StoredRun): TrainingRun {
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
  };
}
