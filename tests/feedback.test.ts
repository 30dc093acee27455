import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeExamples } from '@jsigr/attacks';
import { decodeDataset } from '@jsigr/datasets';
import { type Gateway, startGateway } from '@jsigr/gateway';
import {
  CreateTrainingRunRequest,
  DatasetServiceClient,
  Feedback,
  type LoopSpec,
  ModelServiceClient,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingServiceClient,
} from '@jsigr/proto';
import {
  type ArtefactStore,
  connect,
  createLogger,
  directoryArtefactStore,
  serverStream,
  unary,
  type WorkerKindName,
} from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// What the reports of an attacker change, through a gateway whose trainers and attackers are processes.
let root: string;
let gateway: Gateway;
let client: TrainingServiceClient;
let artefacts: ArtefactStore;
let surrogate: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-feedback-'));
  gateway = await started('data');
  client = connect(TrainingServiceClient, { address: gateway.grpcAddress });
  artefacts = directoryArtefactStore(join(root, 'data', 'artefacts'));
  // Any model does: where examples come from is not what is tested.
  const name = await create({ epochs: 1 });
  surrogate = (await ended(name)).run.latestModel;
}, 120_000);
afterAll(async () => {
  client.close();
  await gateway.close();
  await rm(root, { recursive: true });
});

function started(folder: string, workerEntry?: (kind: WorkerKindName) => string): Promise<Gateway> {
  return startGateway({
    dataDirectory: join(root, folder),
    grpcPort: 0,
    httpPort: null,
    log: createLogger('test', 'silent'),
    ...(workerEntry ? { workerEntry } : {}),
  });
}

const EPSILON = 0.3;
const plan = () => ({
  attacks: [{ attack: 'mi-fgsm', norm: 'linf', epsilons: [EPSILON], settings: { steps: '2' } }],
  samples: 16,
  part: 'held-out',
  surrogates: [surrogate],
});
const loop = (feedback: Feedback, more: Partial<LoopSpec> = {}) => ({ enabled: true, plan: plan(), feedback, ...more });

/** More epochs than a test has time for. */
const ENDLESS = 10_000;

async function create(spec: object, by = client): Promise<string> {
  const common = { dataset: 'datasets/glyphs', architecture: 'mlp', objective: 'standard', batchSize: 256, seed: 1 };
  const request = CreateTrainingRunRequest.fromPartial({ spec: { ...common, ...spec } });
  return (await unary(by, 'createTrainingRun', request)).trainingRun?.name ?? '';
}

/** The run and its events, at its end, or, where `isEnough` says so, when it was cancelled for that. */
async function ended(
  name: string,
  isEnough: (events: readonly RunEvent[]) => boolean = () => false,
  by = client,
): Promise<{ run: TrainingRun; events: RunEvent[] }> {
  const events: RunEvent[] = [];
  for await (const { event } of serverStream(by, 'watchTrainingRun', { name, afterSequence: 0 })) {
    if (event) events.push(event);
    if (!isEnough(events)) continue;
    await unary(by, 'cancelTrainingRun', { name, etag: '' });
    break;
  }
  const { trainingRun } = await unary(by, 'getTrainingRun', { name });
  if (!trainingRun) throw new Error(`${name} is gone`);
  return { run: trainingRun, events };
}

type Payload = NonNullable<RunEvent['payload']>;
function all<C extends Payload['$case']>(events: readonly RunEvent[], kind: C) {
  type Value = Extract<Payload, { $case: C }>['value'];
  return events.flatMap(({ payload }) => (payload?.$case === kind ? [payload.value as Value] : []));
}

/** Training goes up to two checkpoints ahead of what is told of it, and an epoch in progress is not changed any more: so many epochs after a report all is changed. */
const LATER = 4;

/** An epoch that a report changed, once its checkpoint is there. */
function changedEpoch(events: readonly RunEvent[]): number | undefined {
  const taken = events.findIndex(({ payload }) => payload?.$case === 'feedbackTaken');
  if (taken < 0) return undefined;
  const before = all(events.slice(0, taken), 'epochCompleted').length;
  return all(events, 'checkpointSaved').find(({ epoch }) => epoch === before + LATER)?.epoch;
}
const untilChanged = (events: readonly RunEvent[]) => changedEpoch(events) !== undefined;

/** Digests of the weights of a run's checkpoints, by epoch: the manifests name their run. */
async function weightsOf(name: string): Promise<Map<number, string | undefined>> {
  const models = connect(ModelServiceClient, { address: gateway.grpcAddress });
  const { models: found } = await unary(models, 'listModels', { trainingRun: name, pageSize: 1000, pageToken: '' });
  models.close();
  return new Map(
    found.map(({ epoch, files }) => [epoch, files.find(({ path }) => path === 'weights.safetensors')?.sha256]),
  );
}

describe('the feedback of a loop', () => {
  test('adapt and augment change what is trained after a report, and nothing before it', async () => {
    const spec = { objective: 'jacobian', epochs: ENDLESS };
    const adapted = await create({ ...spec, loop: loop(Feedback.FEEDBACK_ADAPT) });
    const adapting = await ended(adapted, untilChanged);
    const [change] = all(adapting.events, 'feedbackTaken');
    expect(change).toMatchObject({ penaltyFactor: 1.25, trainingExamples: 0 }); // the first report is the best so far
    const changed = changedEpoch(adapting.events) ?? 0;
    const factorAt = (epoch: number) =>
      all(adapting.events, 'epochCompleted')
        .find((each) => each.epoch === epoch)
        ?.metrics.find(({ name }) => name === 'penalty_factor')?.value;
    expect(factorAt(1)).toBeUndefined();
    expect(all(adapting.events, 'feedbackTaken').map(({ penaltyFactor }) => penaltyFactor)).toContain(
      factorAt(changed),
    );

    const options = { trainingExamples: 512, exampleShare: 1 };
    const augmented = await create({ ...spec, loop: loop(Feedback.FEEDBACK_AUGMENT, options) });
    const augmenting = await ended(augmented, untilChanged);
    expect(all(augmenting.events, 'feedbackTaken')[0]).toMatchObject({ trainingExamples: 512, penaltyFactor: 0 });
    const { trainingExamples } = all(augmenting.events, 'robustnessReported')[0] ?? {};
    const { indices, images } = decodeExamples(await artefacts.get('examples', trainingExamples ?? ''));
    expect(new Set(indices).size).toBe(512);
    const datasets = connect(DatasetServiceClient, { address: gateway.grpcAddress });
    const { dataset: glyphs } = await unary(datasets, 'getDataset', { name: 'datasets/glyphs' });
    datasets.close();
    const dataset = decodeDataset(await artefacts.get('datasets', glyphs?.digest ?? ''));
    const size = images.length / indices.length;
    const distances = indices.map((index, i) => {
      const [clean, attacked] = [dataset.train.images.subarray(index * size), images.subarray(i * size)];
      return Math.max(...Array.from({ length: size }, (_, at) => Math.abs((clean[at] ?? 0) - (attacked[at] ?? 0))));
    });
    // Perturbed by as much as the plan allows, in eight bits, and no more.
    expect(Math.max(...distances)).toBe(Math.floor(EPSILON * 255));

    const epochs = Math.max(changed, changedEpoch(augmenting.events) ?? 0);
    const plain = await create({ ...spec, epochs });
    expect((await ended(plain)).run.state).toBe(RunState.RUN_STATE_SUCCEEDED);
    const expected = await weightsOf(plain);
    for (const [name, { events }] of [
      [adapted, adapting],
      [augmented, augmenting],
    ] as const) {
      const weights = await weightsOf(name);
      const epoch = changedEpoch(events) ?? 0;
      expect(weights.get(1)).toBe(expected.get(1));
      expect(weights.get(epoch)).toBeDefined();
      expect(weights.get(epoch)).not.toBe(expected.get(epoch));
    }
  }, 300_000);

  test('early_stop ends a training without end when reports are no better, says why, and selects the best', async () => {
    const name = await create({ epochs: ENDLESS, loop: loop(Feedback.FEEDBACK_EARLY_STOP, { patience: 2 }) });
    const { run, events } = await ended(name);
    const [stop] = all(events, 'feedbackTaken');
    expect(stop).toMatchObject({ stoppedAfterReports: 2, penaltyFactor: 0, trainingExamples: 0 });
    expect(run.state).toBe(RunState.RUN_STATE_SUCCEEDED);
    expect(run.stateReason).toMatch(
      /^stopped early after step \d+: robust accuracy was no better in \d+ reports in a row$/,
    );
    const reports = all(events, 'robustnessReported');
    const scores = reports.map(({ epsilons }) => epsilons[0]?.transferred?.value ?? 0);
    const stoppedBy = reports.findIndex(({ model }) => model === stop?.model);
    const best = Math.max(...scores.slice(0, stoppedBy + 1));
    expect(scores.indexOf(best)).toBe(stoppedBy - 2);
    expect(run.bestModel).toBe(all(events, 'checkpointSelected').at(-1)?.model);
    // The last checkpoint, which is that of a whole epoch, is attacked too.
    expect(reports.at(-1)?.model).toBe(all(events, 'checkpointSaved').at(-1)?.model);
  }, 300_000);
});

test('an attacker that lies changes nothing but what it said truly; the run says what became of it, and goes on', async () => {
  const attacker = fileURLToPath(new URL('./support/lying-attacker.mts', import.meta.url));
  const entry = (kind: WorkerKindName) =>
    kind === 'attacker' ? attacker : fileURLToPath(new URL(`../services/${kind}/dist/main.js`, import.meta.url));
  const deceived = await started('deceived', entry);
  const by = connect(TrainingServiceClient, { address: deceived.grpcAddress });
  const given = { enabled: true, plan: { ...plan(), surrogates: [] }, feedback: Feedback.FEEDBACK_SELECT };
  const first = await create({ epochs: 1 }, by);
  given.plan.surrogates = [(await ended(first, undefined, by)).run.latestModel] as never;
  const { run, events } = await ended(await create({ epochs: 12, loop: given }, by), undefined, by);
  by.close();
  await deceived.close();

  const saved = all(events, 'checkpointSaved').map(({ model }) => model);
  expect(run).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED, bestModel: saved[0] });
  expect(saved).toHaveLength(12);
  expect(all(events, 'robustnessReported').map(({ model }) => model)).toEqual([saved[0]]);
  const changes = all(events, 'workerChanged').map(({ change }) => change);
  expect(changes).toContainEqual(
    'the attacker: lies were told: report.model, report.epsilons[0].transferred, report.cleanAccuracy, report.epsilons[0], report.part, checkpointSequence, FENCED; the training goes on, checkpoints are not attacked',
  );
  const skipped = all(events, 'checkpointsSkipped').flatMap(({ models }) => models);
  expect(skipped).toEqual(saved.slice(1));
}, 300_000);
