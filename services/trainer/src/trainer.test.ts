import { encodeDataset, glyphs } from '@jsigr/datasets';
import { decodeCheckpoint } from '@jsigr/models';
import {
  EvaluationPlan,
  Feedback,
  type RunEvent,
  RunState,
  StartTrainingRequest,
  StreamCheckpointsRequest,
  TrainerServiceClient,
  type TrainingOutcome,
  TrainingSpec,
} from '@jsigr/proto';
import { connect, type GrpcServer, JsigrError, serverStream, startGrpcServer, unary } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { trainerWorker } from './index.ts';
import { reportOf, share, temporaryContext } from './testing.ts';

let environment: Awaited<ReturnType<typeof temporaryContext>>;
let server: GrpcServer;
let trainer: TrainerServiceClient;
let datasetDigest: string;

beforeAll(async () => {
  environment = await temporaryContext();
  const { module, services } = trainerWorker;
  server = await startGrpcServer({ module: module(environment.context), services, host: '127.0.0.1', port: 0 });
  trainer = connect(TrainerServiceClient, server.address);
  const dataset = glyphs({ variant: 'gray28', train: 96, test: 16, seed: 1 });
  datasetDigest = (await environment.artefacts.put('datasets', encodeDataset(dataset))).digest;
});

afterAll(async () => {
  trainer.close();
  await server.close(0);
  await environment.end();
});

const spec: TrainingSpec = {
  ...TrainingSpec.fromPartial({}),
  dataset: 'datasets/glyphs',
  architecture: 'mlp',
  objective: 'standard',
  epochs: 3,
  batchSize: 16,
  seed: 3,
};
function withAttack(attack: string): NonNullable<TrainingSpec['loop']> {
  const attacks = [{ attack, norm: 'linf', epsilons: [0.1], settings: {}, keepExamples: 0 }];
  const plan = EvaluationPlan.fromPartial({ attacks, samples: 8, part: 'held-out' });
  return { enabled: true, feedback: Feedback.FEEDBACK_SELECT, plan };
}

let runs = 0;
async function start(change: Partial<TrainingSpec> = {}, digest = datasetDigest): Promise<string> {
  const run = `trainingRuns/${++runs}`;
  await unary(
    trainer,
    'startTraining',
    StartTrainingRequest.fromPartial({ run, spec: { ...spec, ...change }, datasetDigest: digest }),
  );
  return run;
}

async function watch(run: string, afterSequence = 0): Promise<{ events: RunEvent[]; outcome?: TrainingOutcome }> {
  const events: RunEvent[] = [];
  for await (const { event, outcome } of serverStream(trainer, 'watchTraining', { run, afterSequence })) {
    if (event) events.push(event);
    if (outcome) return { events, outcome };
  }
  return { events };
}

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

const casesOf = (events: RunEvent[]) => events.map(({ payload }) => payload?.$case);

describe('a training run', () => {
  test('tells its progress, epochs and checkpoints, and ends well', async () => {
    const run = await start();
    const { events, outcome } = await watch(run);
    expect(outcome).toEqual({ state: RunState.RUN_STATE_SUCCEEDED, reason: 'trained 15 steps', bestModel: '' });
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, i) => i + 1));
    const cases = casesOf(events);
    expect(cases.filter((each) => each === 'epochCompleted')).toHaveLength(3);
    expect(cases.filter((each) => each === 'checkpointSaved')).toHaveLength(3);
    const last = events.findLast(({ payload }) => payload?.$case === 'trainingProgress')?.payload;
    expect(last?.value).toMatchObject({ step: 15, totalSteps: 15 });
  });

  test('can be watched again from any event, after its end too', async () => {
    const run = `trainingRuns/${runs}`;
    const all = await watch(run);
    const rest = await watch(run, 4);
    expect(rest.events).toEqual(all.events.slice(4));
    expect(rest.outcome).toEqual(all.outcome);
  });

  test('leaves checkpoints in the store that say where they come from', async () => {
    const run = `trainingRuns/${runs}`;
    const { events } = await watch(run);
    const saved = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value] : []));
    const files = await environment.artefacts.get('models', saved.at(-1)?.model.replace('models/', '') ?? '');
    expect(decodeCheckpoint(files)).toMatchObject({
      run,
      step: 15,
      epoch: 3,
      dataset: { digest: datasetDigest },
      seed: 3,
    });
  });

  test('gives the same weights for the same seed', async () => {
    const weights = async (run: string) => {
      const { events } = await watch(run);
      const models = events.flatMap(({ payload }) =>
        payload?.$case === 'checkpointSaved' ? [payload.value.model] : [],
      );
      const info = await environment.artefacts.info('models', models.at(-1)?.replace('models/', '') ?? '');
      return info.files.find(({ path }) => path === 'weights.safetensors')?.sha256;
    };
    const [first, second, other] = [
      await weights(await start()),
      await weights(await start()),
      await weights(await start({ seed: 4 })),
    ];
    expect(second).toBe(first);
    expect(other).not.toBe(first);
  });

  test('may begin with a model, learn from a teacher, and average its weights', async () => {
    const { events } = await watch(await start());
    const saved = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value.model] : []));
    const model = saved.at(-1) ?? '';
    const run = await start({
      objective: 'selective',
      objectiveSettings: { saliencySource: 'teacher', saliencyMethod: 'gradient', maskWarmupEpochs: '0' },
      teacher: model,
      initialModel: model,
      techniques: { averageDecay: '0.9', labelSmoothing: '0.1' },
      epochs: 1,
    });
    const { events: tuned, outcome } = await watch(run);
    expect(outcome).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED });
    const [result = ''] = tuned.flatMap(({ payload }) =>
      payload?.$case === 'checkpointSaved' ? [payload.value.model] : [],
    );
    const { configuration, optimizer } = decodeCheckpoint(
      await environment.artefacts.get('models', result.replace('models/', '')),
    );
    expect(configuration).toMatchObject({
      techniques: { averageDecay: 0.9, labelSmoothing: 0.1 },
      networks: { teacher: model },
    });
    expect(Object.keys(optimizer).some((slot) => slot.startsWith('trained/'))).toBe(true);
  });

  test('stops after the step in progress when it is told to', async () => {
    const run = await start({ epochs: 1000 });
    await unary(trainer, 'stopTraining', { run });
    const { outcome } = await watch(run);
    expect(outcome?.state).toBe(RunState.RUN_STATE_CANCELLED);
    expect(outcome?.reason).toMatch(/^stopped after step \d+$/);
  });

  test('that gives no numbers any more fails, naming the step and the term of the loss', async () => {
    const run = await start({
      optimizer: { name: 'sgd', learningRate: 10, momentum: 0.9, weightDecay: 0, schedule: '' },
      architecture: 'smallcnn',
      epochs: 40,
    });
    const { outcome } = await watch(run);
    expect(outcome?.state).toBe(RunState.RUN_STATE_FAILED);
    expect(outcome?.reason).toMatch(/step \d+/);
    expect(outcome?.reason).toContain('lower the learning rate');
  });
});

describe('starting', () => {
  test.each([
    ['an unknown architecture', { architecture: 'cathedral' }, 'spec.architecture'],
    ['an unknown objective', { objective: 'peace' }, 'spec.objective'],
    ['no epoch', { epochs: 0 }, 'spec.epochs'],
    ['a setting that the objective does not have', { objectiveSettings: { sugar: '1' } }, 'spec.objectiveSettings'],
    ['a technique out of range', { techniques: { averageDecay: '2' } }, 'spec.techniques.averageDecay'],
    ['selection without transferred examples', { loop: withAttack('pgd') }, 'spec.loop.plan.attacks'],
  ])('with %s is refused by name', async (_name, change, field) => {
    const error = await failureOf(start(change));
    expect(error.violations[0]?.field).toBe(field);
  });

  test('on a dataset that is not there is refused, and the trainer stays free', async () => {
    expect(await failureOf(start({}, '0'.repeat(64)))).toMatchObject({ reason: 'DATASET_NOT_FOUND' });
    expect((await watch(await start({ epochs: 1 }))).outcome?.state).toBe(RunState.RUN_STATE_SUCCEEDED);
  });

  test('while another run is trained is refused; the same run again is not', async () => {
    const run = await start({ epochs: 1000 });
    expect(await failureOf(start())).toMatchObject({ reason: 'TRAINER_BUSY' });
    await unary(trainer, 'startTraining', StartTrainingRequest.fromPartial({ run, spec, datasetDigest }));
    await unary(trainer, 'stopTraining', { run });
    await watch(run);
  });

  test('nothing is known of other runs', async () => {
    expect(await failureOf(watch('trainingRuns/none'))).toMatchObject({ reason: 'TRAINING_RUN_NOT_FOUND' });
  });
});

describe('a follower', () => {
  /** Takes every checkpoint, and reports transferred robust accuracies as told, by sequence. */
  async function follow(run: string, robust: (sequence: number) => number): Promise<number[]> {
    const seen: number[] = [];
    let current = { sequence: 0, model: '' };
    const request = StreamCheckpointsRequest.fromPartial({ run, awaitReports: true });
    for await (const { part } of serverStream(trainer, 'streamCheckpoints', request)) {
      if (part?.$case === 'header') current = part.value;
      if (part?.$case !== 'endOfCheckpoint') continue;
      seen.push(part.value);
      const report = reportOf(current.model, { '0.1': share(robust(part.value), 10) });
      await unary(trainer, 'reportRobustness', { run, checkpointSequence: part.value, report });
    }
    return seen;
  }

  test('sees its reports as events; the best checkpoint is selected; the last is never skipped', async () => {
    const run = await start({ loop: withAttack('mi-fgsm'), epochs: 6 });
    const following = follow(run, (sequence) => (sequence === 1 ? 8 : 5));
    const { events, outcome } = await watch(run);
    const seen = await following;
    expect(seen.at(-1)).toBe(6);
    const skipped = events.flatMap(({ payload }) =>
      payload?.$case === 'checkpointsSkipped' ? payload.value.models : [],
    );
    expect(seen.length + skipped.length).toBe(6);
    const reported = events.flatMap(({ payload }) => (payload?.$case === 'robustnessReported' ? [payload.value] : []));
    expect(reported).toHaveLength(seen.length);
    const selected = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSelected' ? [payload.value] : []));
    expect(selected[0]).toMatchObject({ model: reported[0]?.model, norm: 'linf', epsilon: 0.1 });
    expect(outcome).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED, bestModel: selected.at(-1)?.model });
  });

  test('cannot report on what is not there, nor figures that cannot be', async () => {
    const run = await start({ epochs: 1 });
    const { events } = await watch(run);
    const [model = ''] = events.flatMap(({ payload }) =>
      payload?.$case === 'checkpointSaved' ? [payload.value.model] : [],
    );
    const report = reportOf(model, { '0.1': share(5, 10) });
    const unknown = await failureOf(unary(trainer, 'reportRobustness', { run, checkpointSequence: 9, report }));
    expect(unknown.violations[0]?.field).toBe('checkpointSequence');
    const mad = { ...report, cleanAccuracy: { ...share(5, 10), successes: 11 } };
    const refused = await failureOf(unary(trainer, 'reportRobustness', { run, checkpointSequence: 1, report: mad }));
    expect(refused.violations[0]?.field).toBe('report.cleanAccuracy');
  });
});
