import { setTimeout } from 'node:timers/promises';
import { encodeExamples } from '@jsigr/attacks';
import { encodeDataset, glyphs } from '@jsigr/datasets';
import { classifierToOnnx, createClassifier, decodeCheckpoint, importModel, initialParameters } from '@jsigr/models';
import {
  type EarlierCheckpoint,
  EvaluationPlan,
  Feedback,
  LoopSpec,
  type ResumePoint,
  type RobustnessReport,
  type RunEvent,
  RunState,
  StartTrainingRequest,
  StreamCheckpointsRequest,
  TrainerServiceClient,
  type TrainingOutcome,
  type TrainingResume,
  TrainingSpec,
} from '@jsigr/proto';
import {
  connect,
  type GrpcServer,
  JsigrError,
  resourceExhausted,
  serverStream,
  startGrpcServer,
  unary,
  unavailable,
} from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
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
  trainer = connect(TrainerServiceClient, server);
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
function withAttack(attack: string, feedback: Feedback = Feedback.FEEDBACK_SELECT): NonNullable<TrainingSpec['loop']> {
  const attacks = [{ attack, norm: 'linf', epsilons: [0.1], settings: {}, keepExamples: 0 }];
  const plan = EvaluationPlan.fromPartial({ attacks, samples: 10, part: 'held-out' });
  return LoopSpec.fromPartial({ enabled: true, feedback, plan });
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
    const wanted = { state: RunState.RUN_STATE_SUCCEEDED, reason: 'trained 15 steps', bestModel: '', retryable: false };
    expect(outcome).toEqual(wanted);
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

  test('may fine-tune an imported ONNX network, whose checkpoints begin another run', async () => {
    const network = { architecture: 'smallcnn', input: [28, 28, 1], classes: 10 } as const;
    const onnx = classifierToOnnx(createClassifier(network, initialParameters(network, 1), 'foreign'));
    const { digest } = await environment.artefacts.put('models', await importModel({ 'model.onnx': onnx }));
    let model = `models/${digest}`;
    for (const objective of ['jsigr', 'standard']) {
      const { events, outcome } = await watch(await start({ architecture: 'onnx', objective, initialModel: model }));
      expect(outcome).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED });
      const names = events.flatMap(({ payload }) =>
        payload?.$case === 'checkpointSaved' ? [payload.value.model] : [],
      );
      model = names.at(-1) ?? '';
      const files = await environment.artefacts.get('models', model.replace('models/', ''));
      expect(Buffer.from(files['model.onnx'] ?? []).equals(onnx)).toBe(true);
      expect(decodeCheckpoint(files).model).toMatchObject({ architecture: 'onnx', classes: 10 });
    }
  });

  test('stops after the step in progress when it is told to', async () => {
    const run = await start({ epochs: 1000 });
    await unary(trainer, 'stopTraining', { run, handBack: false });
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

describe('a run that is handed back', () => {
  const long = { epochs: 6, objective: 'jsigr', objectiveSettings: { maskWarmupEpochs: '1', rampEndEpoch: '2' } };
  const startOf = (run: string, resume?: Partial<TrainingResume>) =>
    unary(
      trainer,
      'startTraining',
      StartTrainingRequest.fromPartial({
        run,
        spec: { ...spec, ...long },
        datasetDigest,
        ...(resume ? { resume } : {}),
      }),
    );
  const saved = (events: readonly RunEvent[]) =>
    events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value] : []));

  /** Follows a run; at the first event that `stopAt` says yes to it is handed back. */
  async function follow(run: string, stopAt: (event: RunEvent) => boolean = () => false) {
    const events: RunEvent[] = [];
    let point: ResumePoint | undefined;
    let asked = false;
    for await (const message of serverStream(trainer, 'watchTraining', { run, afterSequence: 0 })) {
      if (message.event) events.push(message.event);
      point = message.resumePoint ?? point;
      if (message.outcome) return { events, point, outcome: message.outcome };
      if (!asked && message.event && stopAt(message.event)) {
        asked = true;
        void unary(trainer, 'stopTraining', { run, handBack: true });
      }
    }
    throw new Error('no outcome');
  }

  test('goes on elsewhere to the same bytes, wherever it was interrupted, again and again', async () => {
    const run = 'trainingRuns/handed-back';
    await startOf(run);
    const whole = await follow(run);
    expect(whole.outcome.reason).toBe('trained 30 steps');
    let earlier: EarlierCheckpoint[] = [];
    let point: ResumePoint | undefined;
    let parts = 0;
    for (let outcome: TrainingOutcome | undefined; outcome?.state !== RunState.RUN_STATE_SUCCEEDED; parts++) {
      await startOf(run, { checkpoints: earlier, ...(point ? { point } : {}) });
      // The first step after each start: within an epoch, seldom at its end.
      const part = await follow(run, ({ payload }) => payload?.$case === 'trainingProgress' && parts < 8);
      ({ outcome } = part);
      if (outcome.state === RunState.RUN_STATE_QUEUED) {
        expect(outcome.reason).toBe(`handed back after step ${part.point?.step ?? point?.step}`);
        expect(part.point?.step).toBeGreaterThan(point?.step ?? 0);
      }
      point = part.point ?? point;
      earlier = [...earlier, ...saved(part.events).map((value) => ({ saved: value, settled: true }))];
    }
    expect(parts).toBeGreaterThan(1);
    // Digests of manifest, weights and optimiser: every checkpoint is the one of the run that was not interrupted.
    expect(earlier.map((each) => each.saved)).toEqual(saved(whole.events));
  });

  test('is not gone on with from a checkpoint of something else', async () => {
    const { point } = await (async () => {
      await startOf('trainingRuns/one');
      return follow('trainingRuns/one');
    })();
    const run = await start({ seed: 77 });
    await watch(run);
    await unary(
      trainer,
      'startTraining',
      StartTrainingRequest.fromPartial({
        run: 'trainingRuns/two',
        spec,
        datasetDigest,
        resume: point ? { point } : {},
      }),
    );
    const { outcome } = await watch('trainingRuns/two');
    expect(outcome?.state).toBe(RunState.RUN_STATE_FAILED);
    expect(outcome?.reason).toContain('the checkpoint was made with');
  });
});

test('a run that diverges fails with the term that did, and its last good checkpoint is kept', async () => {
  const run = await start({
    objective: 'jacobian',
    // The penalty comes all at once, in the third epoch, far too strong.
    objectiveSettings: { jacobianWeight: '10000', rampStartEpoch: '2', rampEndEpoch: '2' },
    optimizer: { name: 'sgd', learningRate: 0.1, momentum: 0, weightDecay: 0, schedule: '' },
    epochs: 50,
    checkpointEveryEpochs: 50,
  });
  const { events, outcome } = await watch(run);
  expect(outcome?.state).toBe(RunState.RUN_STATE_FAILED);
  expect(outcome?.reason).toMatch(/jacobian.*: lower the learning rate or the weight of the penalty/);
  const saved = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value] : []));
  expect(saved).toHaveLength(1);
  const { parameters, epoch } = decodeCheckpoint(
    await environment.artefacts.get('models', saved[0]?.model.replace('models/', '') ?? ''),
  );
  expect(epoch).toBeGreaterThanOrEqual(2);
  for (const { data } of Object.values(parameters)) expect(data.every(Number.isFinite)).toBe(true);
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
    await unary(trainer, 'stopTraining', { run, handBack: false });
    await watch(run);
  });

  test('nothing is known of other runs', async () => {
    expect(await failureOf(watch('trainingRuns/none'))).toMatchObject({ reason: 'TRAINING_RUN_NOT_FOUND' });
  });
});

describe('a store that is full', () => {
  test('fails the run with what to do about it, and keeps what was saved before', async () => {
    const { artefacts } = environment;
    const put = artefacts.put.bind(artefacts);
    let room = 2;
    vi.spyOn(artefacts, 'put').mockImplementation(async (kind, files) => {
      if (room-- <= 0)
        throw resourceExhausted(
          'STORE_FULL',
          'the artefact store /data is full (ENOSPC)',
          'free space, or choose another data directory',
        );
      return put(kind, files);
    });
    const { events, outcome } = await watch(await start({ seed: 99 }));
    vi.restoreAllMocks();
    expect(outcome).toMatchObject({
      state: RunState.RUN_STATE_FAILED,
      reason: 'the artefact store /data is full (ENOSPC); free space, or choose another data directory',
      retryable: false,
    });
    const saved = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value.model] : []));
    expect(saved).toHaveLength(2);
    for (const name of saved) await artefacts.get('models', name.replace('models/', ''));
  });
});

describe('a store that is slow', () => {
  test('is waited for: training goes no more than a few checkpoints ahead of it, and can be stopped', async () => {
    const { artefacts } = environment;
    const put = artefacts.put.bind(artefacts);
    const open = Promise.withResolvers<void>();
    const spy = vi.spyOn(artefacts, 'put').mockImplementation(async (kind, files) => {
      await open.promise;
      return put(kind, files);
    });
    const run = await start({ seed: 97, epochs: 200 });
    await vi.waitFor(() => expect(spy).toHaveBeenCalled(), 20_000);
    // Long enough for many epochs; on a machine that is too busy for them the test finds less.
    await setTimeout(1000);
    await unary(trainer, 'stopTraining', { run, handBack: false });
    open.resolve();
    const { events, outcome } = await watch(run);
    vi.restoreAllMocks();
    expect(outcome?.state).toBe(RunState.RUN_STATE_CANCELLED);
    const saved = casesOf(events).filter((each) => each === 'checkpointSaved').length;
    expect(saved).toBeGreaterThan(0);
    expect(saved).toBeLessThanOrEqual(4);
  });
});

describe('a store that is away', () => {
  test('ends the run in a way that another trainer may go on', async () => {
    const { artefacts } = environment;
    const away = unavailable('STORE_UNAVAILABLE', 'the S3 server does not answer');
    vi.spyOn(artefacts, 'put').mockRejectedValue(away);
    const { outcome } = await watch(await start({ seed: 98 }));
    vi.restoreAllMocks();
    expect(outcome).toMatchObject({
      state: RunState.RUN_STATE_FAILED,
      reason: 'the S3 server does not answer',
      retryable: true,
    });
  });
});

describe('a follower', () => {
  /** Takes every checkpoint, and reports transferred robust accuracies as told, by sequence. */
  async function follow(
    run: string,
    robust: (sequence: number) => number,
    change: Partial<RobustnessReport> = {},
  ): Promise<number[]> {
    const seen: number[] = [];
    let current = { sequence: 0, model: '' };
    const request = StreamCheckpointsRequest.fromPartial({ run, awaitReports: true });
    for await (const { part } of serverStream(trainer, 'streamCheckpoints', request)) {
      if (part?.$case === 'header') current = part.value;
      if (part?.$case !== 'endOfCheckpoint') continue;
      seen.push(part.value);
      const report = {
        ...reportOf(current.model, { '0.1': share(robust(part.value), 10) }),
        dataset: spec.dataset,
        part: 'held-out',
        ...change,
      };
      await unary(trainer, 'reportRobustness', { run, checkpointSequence: part.value, report, fencingToken: 0 });
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

  const taken = (events: readonly RunEvent[]) =>
    events.flatMap(({ payload }) => (payload?.$case === 'feedbackTaken' ? [payload.value] : []));
  const penaltyFactors = (events: readonly RunEvent[]) =>
    events.flatMap(({ payload }) =>
      payload?.$case === 'epochCompleted'
        ? [payload.value.metrics.find(({ name }) => name === 'penalty_factor')?.value ?? 1]
        : [],
    );

  test('whose reports adapt the penalties: they grow while clean accuracy holds', async () => {
    const loop = withAttack('mi-fgsm', Feedback.FEEDBACK_ADAPT);
    const run = await start({ objective: 'jacobian', loop, epochs: 40 });
    const following = follow(run, () => 5);
    const { events, outcome } = await watch(run);
    await following;
    expect(outcome).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED, bestModel: expect.stringMatching(/^models/) });
    const factors = taken(events).map(({ penaltyFactor }) => penaltyFactor);
    expect(factors.slice(0, 2)).toEqual([1.25, 1.25 ** 2]);
    // What was said before the last epoch is what it was trained with.
    const last = penaltyFactors(events).at(-1);
    expect(factors).toContain(last);
  });

  test('whose examples join the batches, those of training images', async () => {
    const dataset = glyphs({ variant: 'gray28', train: 96, test: 16, seed: 1 });
    const set = (indices: readonly number[], side = 28) => ({
      indices,
      images: new Uint8Array(indices.length * side * side).fill(255),
      input: [side, side, 1],
    });
    const put = async (examples: Parameters<typeof encodeExamples>[0]) =>
      (await environment.artefacts.put('examples', encodeExamples(examples))).digest;
    const all = await put(set(Array.from({ length: dataset.train.count }, (_, index) => index)));
    const loop = { ...withAttack('mi-fgsm', Feedback.FEEDBACK_AUGMENT), exampleShare: 1 };
    const run = await start({ loop, epochs: 40 });
    const following = follow(run, () => 5, { trainingExamples: all });
    const { events } = await watch(run);
    await following;
    expect(taken(events)[0]).toMatchObject({ trainingExamples: 96, penaltyFactor: 0 });
    // White squares for every image: nothing can be told apart any more.
    const accuracies = events.flatMap(({ payload }) =>
      payload?.$case === 'epochCompleted'
        ? [payload.value.metrics.find(({ name }) => name === 'train_accuracy')?.value ?? 0]
        : [],
    );
    expect(Math.max(...accuracies.slice(-2))).toBeLessThan(0.35);

    const long = await start({ loop, epochs: 10_000 });
    for (const [examples, reason] of [
      ['0'.repeat(64), 'EXAMPLE_NOT_FOUND'],
      [await put(set([96])), 'INVALID_EXAMPLES'],
      [await put(set([1], 8)), 'INVALID_EXAMPLES'],
    ] as const)
      expect(await failureOf(follow(long, () => 5, { trainingExamples: examples }))).toMatchObject({ reason });
    await unary(trainer, 'stopTraining', { run: long, handBack: false });
    expect((await watch(long)).outcome?.state).toBe(RunState.RUN_STATE_CANCELLED);
  });

  test('whose reports are no better ends the training, which says why; the best stays the best', async () => {
    const loop = { ...withAttack('mi-fgsm', Feedback.FEEDBACK_EARLY_STOP), patience: 3 };
    const run = await start({ loop, epochs: 10_000 });
    const following = follow(run, (sequence) => (sequence === 1 ? 8 : 5));
    const { events, outcome } = await watch(run);
    await following;
    const reported = events.flatMap(({ payload }) => (payload?.$case === 'robustnessReported' ? [payload.value] : []));
    expect(taken(events).map(({ stoppedAfterReports, model }) => [stoppedAfterReports, model])).toEqual([
      [3, reported[3]?.model],
    ]);
    expect(outcome).toMatchObject({
      state: RunState.RUN_STATE_SUCCEEDED,
      bestModel: reported[0]?.model,
      reason: expect.stringMatching(/stopped early after step \d+: .* no better in 3 reports in a row/),
    });
    // No further epoch began, and the last one has its checkpoint.
    const epochs = events.flatMap(({ payload }) => (payload?.$case === 'epochCompleted' ? [payload.value.epoch] : []));
    const saved = events.flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value.epoch] : []));
    expect(epochs.length).toBeLessThan(10_000);
    expect(saved.at(-1)).toBe(epochs.at(-1));
  });

  test('cannot adapt penalties that there are none of', async () => {
    const loop = withAttack('mi-fgsm', Feedback.FEEDBACK_ADAPT);
    const refused = await failureOf(start({ loop }));
    expect(refused.violations).toEqual([
      { field: 'spec.loop.feedback', description: 'standard has no penalties that could follow the reports' },
    ]);
  });

  test('that lies, repeats itself or comes late changes nothing: training goes on, and what is true is taken', async () => {
    const run = await start({ loop: withAttack('mi-fgsm'), epochs: 3 });
    const saved: string[] = [];
    let told = 0;
    const reportOn = (sequence: number, change: object = {}, model = saved[sequence - 1] ?? '', fencingToken = 0) =>
      unary(trainer, 'reportRobustness', {
        run,
        checkpointSequence: sequence,
        report: {
          ...reportOf(model, { '0.1': share(6 - sequence, 10) }),
          dataset: spec.dataset,
          part: 'held-out',
          ...change,
        },
        fencingToken,
      });
    for await (const { event, outcome } of serverStream(trainer, 'watchTraining', { run, afterSequence: 0 })) {
      if (event?.payload?.$case === 'robustnessReported') told++;
      if (outcome) {
        expect(outcome).toMatchObject({ state: RunState.RUN_STATE_SUCCEEDED, bestModel: saved[0] });
        break;
      }
      if (event?.payload?.$case !== 'checkpointSaved') continue;
      saved.push(event.payload.value.model);
      if (saved.length < 3) continue;
      const fields = async (work: Promise<unknown>) => (await failureOf(work)).violations.map(({ field }) => field);
      expect(await fields(reportOn(3, {}, `models/${'0'.repeat(64)}`))).toEqual(['report.model']);
      expect(await fields(reportOn(3, { cleanAccuracy: share(1, 10) }))).toEqual(['report.epsilons[0].transferred']);
      expect(await fields(reportOn(4, {}, saved[0]))).toEqual(['checkpointSequence']);
      expect(await failureOf(reportOn(3, {}, saved[2], 7))).toMatchObject({ reason: 'FENCED' });
      // A later one first, an old one after it, the same again with other figures: the first word counts.
      for (const sequence of [2, 1]) await reportOn(sequence);
      await reportOn(2, { epsilons: reportOf('', { '0.1': share(9, 10) }).epsilons });
      await unary(trainer, 'endFollowing', { run });
    }
    expect(told).toBe(2);
  });

  test('cannot report on what is not there, nor figures that cannot be', async () => {
    const run = await start({ epochs: 1 });
    const { events } = await watch(run);
    const [model = ''] = events.flatMap(({ payload }) =>
      payload?.$case === 'checkpointSaved' ? [payload.value.model] : [],
    );
    const report = { ...reportOf(model, { '0.1': share(5, 10) }), dataset: spec.dataset };
    const unknown = await failureOf(
      unary(trainer, 'reportRobustness', { run, checkpointSequence: 9, report, fencingToken: 0 }),
    );
    expect(unknown.violations[0]?.field).toBe('checkpointSequence');
    const mad = { ...report, cleanAccuracy: { ...share(5, 10), successes: 11 } };
    const refused = await failureOf(
      unary(trainer, 'reportRobustness', { run, checkpointSequence: 1, report: mad, fencingToken: 0 }),
    );
    expect(refused.violations[0]?.field).toBe('report.cleanAccuracy');
  });
});
