import {
  CreateTrainingRunRequest,
  EvaluationPlan,
  Feedback,
  FeedbackTaken,
  RobustnessReport,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingSpec,
} from '@jsigr/proto';
import { unavailable } from '@jsigr/service';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, type MockInstance, test, vi } from 'vitest';
import { LOCAL } from '../access/caller.ts';
import { deferred } from '../deferred.ts';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import type { EventPayload } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { FakePool, type FakeTrainer } from '../testing/fake-workers.ts';
import { reasonOf, saved, type TestGateway, TINY, testGateway, words } from '../testing/gateway.ts';

const { RUN_STATE_FAILED, RUN_STATE_QUEUED, RUN_STATE_RUNNING, RUN_STATE_CANCELLED } = RunState;

let store: Store;
let gateway: TestGateway;
beforeAll(async () => {
  store = await memoryStore();
}, OPENING_MS);
afterAll(() => store.close());
beforeEach(async () => {
  gateway = await testGateway(store);
});
afterEach(async () => {
  await gateway.close();
  // What is handed back would go on in the next test.
  for (const { id } of await store.runs.active()) await store.runs.transition(id, RUN_STATE_CANCELLED);
});

const plain = TrainingSpec.fromPartial({ dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 });
const transfer = EvaluationPlan.fromPartial({ attacks: [{ attack: 'mi-fgsm', epsilons: [0.1] }], samples: 5 });
const looped = TrainingSpec.fromPartial({
  ...plain,
  loop: { enabled: true, feedback: Feedback.FEEDBACK_SELECT, plan: transfer },
});

async function create(spec: TrainingSpec): Promise<TrainingRun & { id: string }> {
  const request = CreateTrainingRunRequest.fromPartial({ spec });
  const run = await gateway.application.trainingRuns.create(request, LOCAL);
  return { ...run, id: run.name.replace('trainingRuns/', '') };
}
const get = (id: string) => gateway.application.trainingRuns.get({ name: `trainingRuns/${id}` }, LOCAL);
const cancel = (id: string) => gateway.application.trainingRuns.cancel({ name: `trainingRuns/${id}`, etag: '' }, LOCAL);

const progress = (step: number): EventPayload => ({
  $case: 'trainingProgress',
  value: { step, totalSteps: 2, metrics: [], imagesPerSecond: 1, secondsLeft: 0 },
});
const report = (model: string, clean?: number): EventPayload => ({
  $case: 'robustnessReported',
  value: RobustnessReport.fromPartial({
    model,
    dataset: TINY,
    surrogates: ['models/aa'],
    ...(clean === undefined ? {} : { cleanAccuracy: { successes: 100 * clean, trials: 100, value: clean } }),
  }),
});
const taken = (model: string, penaltyFactor: number): EventPayload => ({
  $case: 'feedbackTaken',
  value: FeedbackTaken.fromPartial({ model, step: 1, penaltyFactor }),
});
const selected = (model: string): EventPayload => ({
  $case: 'checkpointSelected',
  value: { model, step: 1, norm: 'linf', epsilon: 0.1, robustAccuracy: undefined },
});

/** Surrogates are trained in a moment; the run that is looked at is left to the test. */
function trainSurrogatesAtOnce(digest: string, pool = gateway.pool): void {
  pool.onStart = (trainer) => {
    if (trainer.started?.spec?.loop) return;
    trainer.emit(saved(digest, 1));
    trainer.end();
  };
}

async function toRunning(id: string): Promise<void> {
  for (let last = 0; (await get(id)).state !== RUN_STATE_RUNNING; last = (await get(id)).lastSequence)
    await store.runs.changedAfter(id, last);
}

function sequences(events: readonly RunEvent[]): number[] {
  return events.map(({ sequence }) => sequence);
}

describe('a training run', () => {
  test('is trained by a worker whose events it takes over under its own numbers', async () => {
    const run = await create(plain);
    const trainer = await gateway.pool.trainer();
    expect(trainer.started).toMatchObject({ run: run.name, spec: { architecture: 'lenet', batchSize: 64 } });
    expect(trainer.threads).toBe(4);
    const [first, second] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    trainer.emit(progress(1));
    trainer.emit(saved(first, 1));
    trainer.emit(progress(2));
    trainer.emit(saved(second, 2));
    trainer.end();
    const events = await gateway.events(run.id);
    expect(words(events)).toEqual([
      'QUEUED',
      'STARTING',
      'STARTING',
      'workerChanged',
      'RUNNING',
      'trainingProgress',
      'checkpointSaved',
      'trainingProgress',
      'checkpointSaved',
      'SUCCEEDED',
    ]);
    expect(sequences(events)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await get(run.id)).toMatchObject({
      stateReason: 'trained 2 steps',
      lastSequence: 10,
      latestModel: second,
      bestModel: second,
      progress: { step: 2, totalSteps: 2 },
    });
    await gateway.pool.changed.until(() => trainer.released !== undefined);
    expect(trainer.released).toEqual({ discard: false });
    const model = await gateway.application.models.get({ name: second }, LOCAL);
    expect(model).toMatchObject({ architecture: 'lenet', step: 2, dataset: TINY, trainingRun: 'trainingRuns/made' });
  });

  test('takes each event once when the connection breaks and the trainer repeats some', async () => {
    const run = await create(plain);
    const trainer = await gateway.pool.trainer();
    trainer.breakAfter = 4;
    for (let step = 1; step <= 6; step++) trainer.emit(progress(step));
    trainer.end();
    const events = await gateway.events(run.id);
    const steps = events.flatMap(({ payload }) => (payload?.$case === 'trainingProgress' ? [payload.value.step] : []));
    expect(steps).toEqual([1, 2, 3, 4, 5, 6]);
    expect(trainer.watches.slice(0, 2)).toEqual([0, 4]);
  });

  const ends: [string, (trainer: FakeTrainer) => unknown, RegExp][] = [
    ['fails', (trainer) => trainer.end(RUN_STATE_FAILED, 'the loss is not finite'), /^the loss is not finite$/],
    [
      'is stopped by somebody else',
      (trainer) => trainer.end(RUN_STATE_CANCELLED, 'the trainer was told to stop'),
      /told to stop/,
    ],
  ];
  for (const [what, happens, reason] of ends)
    test(`fails with the reason when the trainer ${what}`, async () => {
      const run = await create(plain);
      const trainer = await gateway.pool.trainer();
      await toRunning(run.id);
      await happens(trainer);
      const events = await gateway.events(run.id);
      expect(words(events).at(-1)).toBe('FAILED');
      expect(reasonOf(events)).toMatch(reason);
      await gateway.pool.changed.until(() => gateway.pool.list().length === 0);
    });

  test('fails with the reason when there is no trainer to be had', async () => {
    gateway.pool.refused.set('trainer', 'the trainer did not start: it ended with exit code 3');
    const events = await gateway.events((await create(plain)).id);
    expect(words(events).at(-1)).toBe('FAILED');
    expect(reasonOf(events)).toBe(
      'the trainer did not start: it ended with exit code 3; it was begun again 2 times, in vain',
    );
  });
});

describe('a training run whose trainer is lost', () => {
  const point = (digest: string, step: number) => ({ kind: 'models', digest: digest.replace('models/', ''), step });
  const stepsOf = (events: readonly RunEvent[]) =>
    events.flatMap(({ payload }) => (payload?.$case === 'trainingProgress' ? [payload.value.step] : []));

  test('goes on with another one from where it stood; nothing is said twice', async () => {
    const run = await create(plain);
    const first = await gateway.pool.trainer();
    const [one, two] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    first.emit(progress(1));
    first.emit(saved(one, 1));
    first.keep(point(one, 1));
    await eventually(async () => (await store.runs.get('training', run.id)).resumePoint?.step === 1);
    first.emit(progress(2));
    await eventually(async () => (await get(run.id)).progress?.step === 2);
    await first.die('was killed by SIGKILL');

    const second = await gateway.pool.trainer(1);
    expect(second.started?.resume).toEqual({
      point: point(one, 1),
      checkpoints: [{ saved: { model: one, step: 1, epoch: 1, heldOutAccuracy: 0.5 }, settled: false }],
      selected: undefined,
      reportsSince: 0,
      penaltyFactor: 0,
      bestClean: 0,
    });
    expect(second.started?.fencingToken).toBe(second.fencingToken);
    second.emit(saved(one, 1));
    for (const step of [2, 3]) second.emit(progress(step));
    second.emit(saved(two, 2));
    second.end();
    const events = await gateway.events(run.id);
    expect(stepsOf(events)).toEqual([1, 2, 3]);
    expect(words(events).filter((word) => word === 'checkpointSaved')).toHaveLength(2);
    expect(sequences(events)).toEqual(events.map((_, i) => i + 1));
    const reasons = events.flatMap(({ payload }) => (payload?.$case === 'stateChanged' ? [payload.value.reason] : []));
    expect(reasons).toContain('the trainer (process 1) was killed by SIGKILL; it goes on from step 1');
    expect(reasons).toContain('goes on from step 1');
    expect(await get(run.id)).toMatchObject({ retries: 1, bestModel: two, stateReason: 'trained 2 steps' });
  });

  test('goes on with one that was there before it, and was idle', async () => {
    const { pool } = gateway;
    const acquire = pool.acquire.bind(pool);
    const [older, newer] = [await acquire('trainer', { run: 'a' }), await acquire('trainer', { run: 'b' })];
    const given = [newer, older];
    pool.acquire = async () => given.shift() ?? acquire('trainer', { run: 'c' });
    const run = await create(plain);
    await (await pool.trainer(1)).die('was killed by SIGKILL');
    const first = await pool.trainer(0);
    expect(first.fencingToken).toBeLessThan(newer.fencingToken);
    first.emit(progress(1));
    first.end();
    const events = await gateway.events(run.id);
    expect(words(events).slice(-2)).toEqual(['trainingProgress', 'SUCCEEDED']);
  });

  test('because of something that will pass goes on with another one', async () => {
    const run = await create(plain);
    (await gateway.pool.trainer()).end(RUN_STATE_FAILED, 'the S3 server does not answer', true);
    const second = await gateway.pool.trainer(1);
    expect((await get(run.id)).retries).toBe(1);
    second.end();
    const events = await gateway.events(run.id);
    expect(words(events).at(-1)).toBe('SUCCEEDED');
    expect(JSON.stringify(events)).toContain('the S3 server does not answer; it begins again');
  });

  test('is given up when it comes no further, and says why; coming further gives it new chances', async () => {
    const run = await create(plain);
    const model = await gateway.checkpoint(1);
    for (let i = 0; i < 4; i++) {
      const trainer = await gateway.pool.trainer(i);
      await toRunning(run.id);
      if (i === 1) {
        trainer.keep(point(model, 1));
        await eventually(async () => (await store.runs.get('training', run.id)).resumePoint !== undefined);
      }
      await trainer.die('was killed by SIGKILL');
      if (i < 3) await eventually(async () => (await get(run.id)).state !== RUN_STATE_RUNNING);
    }
    const events = await gateway.events(run.id);
    expect(words(events).at(-1)).toBe('FAILED');
    expect(reasonOf(events)).toBe(
      'the trainer (process 1) was killed by SIGKILL; it was begun again 2 times without coming further, 3 in all, in vain',
    );
    await gateway.pool.changed.until(() => gateway.pool.list().length === 0);
  });

  test('hands the reports and the choice of the loop to the next trainer', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    await gateway.pool.attacker();
    const [one, two] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    const three = await gateway.checkpoint(3);
    for (const event of [saved(one, 1), report(one), selected(one), saved(two, 2), report(two), saved(three, 3)])
      trainer.emit(event);
    await eventually(async () => (await get(run.id)).latestModel === three);
    await trainer.die('was killed by SIGKILL');
    const next = await gateway.pool.trainer(3);
    expect(next.started?.resume?.selected).toMatchObject({ model: one, epsilon: 0.1 });
    expect(next.started?.resume?.checkpoints.map(({ settled }) => settled)).toEqual([true, true, false]);
    expect(next.started?.resume?.reportsSince).toBe(1);
    const attacker = await gateway.pool.attacker(1);
    expect(attacker.following).toMatchObject({ trainerAddress: next.address, fencingToken: next.fencingToken });
    await cancel(run.id);
  });

  test('hands what the reports have made of the penalties to the next trainer', async () => {
    const run = await create(plain);
    const trainer = await gateway.pool.trainer();
    const [one, two] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    trainer.emit(saved(one, 1));
    trainer.keep(point(one, 1));
    trainer.emit(saved(two, 2));
    for (const event of [report(one, 0.9), taken(one, 1.25), report(two, 0.8), taken(two, 0.5)]) trainer.emit(event);
    // Of another feedback: it says nothing of penalties.
    trainer.emit(taken(two, 0));
    trainer.emit(progress(9));
    await eventually(async () => (await get(run.id)).progress?.step === 9);
    await trainer.die('was killed by SIGKILL');
    const next = await gateway.pool.trainer(1);
    expect(next.started?.resume).toMatchObject({ penaltyFactor: 0.5, bestClean: 0.9 });
    await cancel(run.id);
  });

  test('is not lost when the gateway is: the next one goes on with the trainer that lives', async () => {
    const run = await create(plain);
    const trainer = await gateway.pool.trainer();
    await toRunning(run.id);
    const model = await gateway.checkpoint(1);
    for (const event of [progress(1), saved(model, 1), report(model), progress(2)]) trainer.emit(event);
    await eventually(async () => (await get(run.id)).progress?.step === 2);
    gateway.pool.isDead = true;
    const pool = new FakePool();
    pool.trainers.push(trainer);
    const next = await testGateway(store, { pool });
    await next.conductor.adopt();
    await next.conductor.resume();
    await eventually(
      async () => words(await store.runs.events(run.id, 0)).filter((word) => word === 'workerChanged').length === 2,
    );
    expect((await get(run.id)).state).toBe(RUN_STATE_RUNNING);
    trainer.emit(progress(3));
    trainer.end();
    const events = await next.events(run.id);
    // The trainer was asked for what comes after the four events that are stored.
    expect(trainer.watches).toEqual([0, 4]);
    expect(stepsOf(events)).toEqual([1, 2, 3]);
    expect([words(events).at(-1), pool.trainers.length]).toEqual(['SUCCEEDED', 1]);
    expect(words(events).filter((word) => word === 'robustnessReported')).toHaveLength(1);
    expect(await get(run.id)).toMatchObject({ retries: 0 });
    await next.close();
  });

  test('goes on as RUNNING with its trainer while surrogates are trained and an attacker is waited for', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    await gateway.pool.attacker();
    await toRunning(run.id);
    gateway.pool.isDead = true;
    const pool = new FakePool();
    pool.trainers.push(trainer);
    const acquire = pool.acquire.bind(pool);
    pool.acquire = (kind, options) => {
      options.onWaiting?.('no node takes its pod');
      return acquire(kind, options);
    };
    // It has other images, and so no surrogates yet.
    const next = await testGateway(store, { pool });
    trainSurrogatesAtOnce(await next.checkpoint(7), pool);
    await next.conductor.adopt();
    await next.conductor.resume();
    const attacker = await pool.attacker();
    attacker.end();
    trainer.end();
    const events = await next.events(run.id);
    expect([words(events).at(-1), reasonOf(events)]).toEqual(['SUCCEEDED', 'trained 2 steps']);
    const since = events.slice(words(events).indexOf('RUNNING') + 1);
    expect(new Set(words(since))).toEqual(new Set(['workerChanged', 'SUCCEEDED']));
    const changes = since.flatMap(({ payload }) => (payload?.$case === 'workerChanged' ? [payload.value.change] : []));
    expect(changes).toContain('waits: no node takes its pod');
    expect(changes).toContainEqual(expect.stringMatching(/^training the surrogate mlp \(trainingRuns\/\w+\)/));
    await next.close();
  });

  test('is left at work by a gateway that stops, where trainers outlive it, and the next one goes on with it', async () => {
    gateway.pool.outlives = true;
    const run = await create(plain);
    const trainer = await gateway.pool.trainer();
    await toRunning(run.id);
    trainer.emit(progress(1));
    await eventually(async () => (await get(run.id)).progress?.step === 1);
    await gateway.conductor.close();
    expect(await get(run.id)).toMatchObject({ state: RUN_STATE_RUNNING, retries: 0 });
    expect([trainer.handedBack, trainer.stopped, trainer.released]).toEqual([false, false, undefined]);
    const pool = new FakePool();
    pool.trainers.push(trainer);
    const next = await testGateway(store, { pool });
    await next.conductor.adopt();
    await next.conductor.resume();
    trainer.emit(progress(2));
    trainer.end();
    const events = await next.events(run.id);
    expect(stepsOf(events)).toEqual([1, 2]);
    expect([words(events).at(-1), pool.trainers.length]).toEqual(['SUCCEEDED', 1]);
    await next.close();
  });

  test('whom the gateway lost sight of can write nothing once another trainer has the run', async () => {
    const run = await create(plain);
    const old = await gateway.pool.trainer();
    await toRunning(run.id);
    old.emit(progress(1));
    await eventually(async () => (await get(run.id)).progress?.step === 1);
    const other = await testGateway(store);
    await other.conductor.resume();
    const next = await other.pool.trainer();
    expect(next.fencingToken).toBeGreaterThan(old.fencingToken);
    next.emit(progress(2));
    await eventually(async () => (await get(run.id)).progress?.step === 2);
    old.emit(progress(50));
    old.emit(saved(await gateway.checkpoint(1), 1));
    old.end(RUN_STATE_FAILED, 'never to be read');
    await gateway.pool.changed.until(() => old.released !== undefined);
    next.emit(progress(3));
    next.end();
    const events = await other.events(run.id);
    expect(stepsOf(events)).toEqual([1, 2, 3]);
    expect([words(events).at(-1), reasonOf(events)]).toEqual(['SUCCEEDED', 'trained 2 steps']);
    await other.close();
  });
});

/** Looks again at each event of any run. */
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (;;) {
    if (await holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a loop', () => {
  test('that augments asks the attacker for examples of training images, and passes on what changes', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7, 'mlp'));
    const loop = { enabled: true, feedback: Feedback.FEEDBACK_AUGMENT, plan: transfer };
    const run = await create(TrainingSpec.fromPartial({ ...plain, loop }));
    const trainer = await gateway.pool.trainer(2);
    const attacker = await gateway.pool.attacker();
    expect(attacker.following?.trainingExamples).toBe(256);
    expect(trainer.started?.spec?.loop).toMatchObject({ trainingExamples: 256, exampleShare: 0.5, cleanTolerance: 0 });
    const model = await gateway.checkpoint(1);
    trainer.emit(saved(model, 1));
    trainer.emit(report(model));
    trainer.emit({
      $case: 'feedbackTaken',
      value: { model, step: 1, penaltyFactor: 0, trainingExamples: 256, stoppedAfterReports: 0 },
    });
    attacker.end();
    trainer.end();
    expect(words(await gateway.events(run.id)).slice(-3)).toEqual(['robustnessReported', 'feedbackTaken', 'SUCCEEDED']);
  });

  test('trains its surrogates first, once for a dataset, and hands their digests to the attacker', async () => {
    const surrogate = await gateway.checkpoint(7, 'mlp');
    trainSurrogatesAtOnce(surrogate);
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    const attacker = await gateway.pool.attacker();
    const digest = surrogate.replace('models/', '');
    expect(attacker.following).toMatchObject({
      run: run.name,
      trainerAddress: trainer.address,
      surrogateDigests: [digest, digest],
      plan: { part: 'held-out', attacks: [{ attack: 'mi-fgsm', norm: 'linf' }] },
      dataset: TINY,
    });
    expect([trainer.threads, attacker.threads]).toEqual([3, 1]);
    expect(trainer.started?.spec?.loop?.enabled).toBe(true);
    const [first, second] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    trainer.emit(saved(first, 1));
    trainer.emit(report(first));
    trainer.emit(selected(first));
    trainer.emit(saved(second, 2));
    trainer.emit(report(second));
    trainer.emit(report(second)); // told again by a trainer that did not hear that it was written
    attacker.end();
    trainer.end();
    const events = await gateway.events(run.id);
    expect(words(events).slice(-6)).toEqual([
      'checkpointSaved',
      'robustnessReported',
      'checkpointSelected',
      'checkpointSaved',
      'robustnessReported',
      'SUCCEEDED',
    ]);
    const { bestModel, latestModel, latestReport } = await get(run.id);
    expect([bestModel, latestModel]).toEqual([first, second]);
    expect(latestReport?.command).toBe(
      `jsigr evaluate ${second} --dataset datasets/tiny --part held-out --attack mi-fgsm@linf:0.1 --surrogate models/aa --samples 5 --seed 0`,
    );
    const { trainingRuns } = await gateway.application.trainingRuns.list({ pageSize: 3, pageToken: '' }, LOCAL);
    expect(trainingRuns.map(({ displayName, labels, state }) => [displayName, labels.role, state])).toEqual([
      ['surrogate: mlp on tiny', 'surrogate', 'RUN_STATE_SUCCEEDED'],
      ['surrogate: smallcnn on tiny', 'surrogate', 'RUN_STATE_SUCCEEDED'],
      ['', undefined, 'RUN_STATE_SUCCEEDED'],
    ]);

    const again = await create({ ...looped, architecture: 'resnet8' });
    const third = await gateway.pool.trainer(4);
    expect(third.started?.run).toBe(again.name);
    await cancel(again.id);
  });

  test('starts its attacker again when that dies, goes on without when it dies each time, and says so', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    const attacker = await gateway.pool.attacker();
    const [first, second] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    trainer.emit(saved(first, 1));
    trainer.emit(report(first));
    await eventually(async () => (await get(run.id)).latestReport !== undefined);
    await attacker.die('ended with exit code 1; it said: no memory');
    await (await gateway.pool.attacker(1)).die('ended with exit code 1; it said: no memory');
    const third = await gateway.pool.attacker(2);
    await third.die('ended with exit code 1; it said: no memory');
    await gateway.pool.changed.until(() => trainer.followingEnded);
    trainer.emit(saved(second, 2));
    trainer.end();
    const events = await gateway.events(run.id);
    expect(words(events).at(-1)).toBe('SUCCEEDED');
    const payloads = events.map(({ payload }) => payload?.value);
    const problem = 'the attacker: the attacker (process 1) ended with exit code 1; it said: no memory';
    expect(payloads).toContainEqual({
      kind: 'attacker',
      address: third.address,
      change: `${problem}; the training goes on, checkpoints are not attacked`,
    });
    expect(payloads).toContainEqual({ models: [second], reason: problem });
    expect((await get(run.id)).bestModel).toBe(second);
  });

  test('says of checkpoints that no attacker reported on in time that they were not attacked', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    const attacker = await gateway.pool.attacker();
    const [first, second] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    for (const event of [saved(first, 1), report(first), saved(second, 2)]) trainer.emit(event);
    // The trainer has waited for the follower as long as it does.
    trainer.end();
    attacker.end();
    const events = await gateway.events(run.id);
    expect(words(events).slice(-2)).toEqual(['checkpointsSkipped', 'SUCCEEDED']);
    expect(events.at(-2)?.payload?.value).toMatchObject({
      models: [second],
      reason: expect.stringMatching(/no attacker had reported/),
    });
  });

  test('trains without attacker when there is none to be had', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    gateway.pool.refused.set('attacker', 'the attacker did not start: it ended with exit code 3');
    gateway.pool.onStart = (trainer) => {
      trainer.emit(saved(surrogate, 1));
      trainer.end();
    };
    const surrogate = await gateway.checkpoint(8);
    const run = await create(looped);
    const events = await gateway.events(run.id);
    expect(words(events).slice(-4)).toEqual(['RUNNING', 'checkpointSaved', 'checkpointsSkipped', 'SUCCEEDED']);
    expect(gateway.pool.trainers.at(-1)?.started?.spec?.loop).toBeUndefined();
  });

  test('does not wait for an attacker that cannot be had yet; one that comes later follows', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    gateway.pool.refused.set('attacker', 'never');
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    expect(trainer.started?.spec?.loop?.enabled).toBe(true);
    expect(gateway.pool.attackers).toEqual([]);
    gateway.pool.refused.delete('attacker');
    gateway.pool.changed.notify();
    expect((await gateway.pool.attacker()).following).toMatchObject({ run: run.name });
  });

  test('asks for no attacker before it has a trainer: both may need the only GPU', async () => {
    gateway.pool.refused.set('trainer', 'never');
    const plan = EvaluationPlan.fromPartial({ attacks: [{ attack: 'fgsm', epsilons: [0.1] }], samples: 5 });
    const run = await create(TrainingSpec.fromPartial({ ...looped, loop: { enabled: true, plan } }));
    await gateway.pool.changed.until(() => gateway.pool.asked.length > 0);
    gateway.pool.refused.delete('trainer');
    gateway.pool.changed.notify();
    expect((await gateway.pool.attacker()).following).toMatchObject({ run: run.name });
    expect(gateway.pool.asked).toEqual(['trainer', 'attacker']);
  });

  test('ends without its attacker when that never comes', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    gateway.pool.refused.set('attacker', 'never');
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    trainer.emit(saved(await gateway.checkpoint(1), 1));
    trainer.end();
    const events = await gateway.events(run.id);
    expect(words(events).slice(-2)).toEqual(['checkpointsSkipped', 'SUCCEEDED']);
  });

  test('trains without attacker when a surrogate fails', async () => {
    const model = await gateway.checkpoint(8);
    gateway.pool.onStart = (trainer) => {
      const isSurrogate = trainer.started?.spec?.architecture !== 'lenet';
      if (isSurrogate) return trainer.end(RUN_STATE_FAILED, 'the loss is not finite');
      trainer.emit(saved(model, 1));
      trainer.end();
    };
    const run = await create(looped);
    const events = await gateway.events(run.id);
    expect(words(events).at(-1)).toBe('SUCCEEDED');
    const changes = events.flatMap(({ payload }) => (payload?.$case === 'workerChanged' ? [payload.value.change] : []));
    expect(changes[0]).toMatch(
      /^the surrogates: the surrogate trainingRuns\/\w+ is FAILED: the loss is not finite; the training goes on/,
    );
    expect(gateway.pool.attackers).toEqual([]);
  });
});

describe('a connection to the database that breaks', () => {
  const gone = () => unavailable(DATABASE_UNAVAILABLE, 'the database server cannot be reached');
  const reads: Record<string, () => MockInstance> = {
    'while the dataset is looked up': () => {
      const find = store.datasets.find.bind(store.datasets);
      // The first to ask is who creates the run.
      return vi.spyOn(store.datasets, 'find').mockImplementationOnce(find).mockRejectedValueOnce(gone());
    },
    'while surrogates are looked up': () => vi.spyOn(store.runs, 'labelled').mockRejectedValueOnce(gone()),
    'while the run is begun': () => vi.spyOn(store.runs, 'events').mockRejectedValueOnce(gone()),
  };

  for (const [when, breakIt] of Object.entries(reads))
    test(`${when} is no fault of the run, which begins again and is attacked as ever`, async () => {
      trainSurrogatesAtOnce(await gateway.checkpoint(7, 'mlp'));
      const spy = breakIt();
      try {
        const run = await create(looped);
        await toRunning(run.id);
        const attacker = await gateway.pool.attacker();
        expect(attacker.following?.surrogateDigests).toHaveLength(2);
        expect((await store.runs.get('training', run.id)).retriesInPlace).toBe(0);
        expect(spy.mock.settledResults.map(({ type }) => type)).toContain('rejected');
      } finally {
        spy.mockRestore();
      }
    });
});

describe('cancelling', () => {
  /** Brings a run to a stage, and says what must have been told to stop then. */
  const stages: Record<string, () => Promise<{ id: string; stopped: () => boolean }>> = {
    'while it waits for another run': async () => {
      const first = await create(plain);
      await gateway.pool.trainer();
      const { id } = await create(plain);
      expect((await get(id)).state).toBe(RUN_STATE_QUEUED);
      void gateway.events(first.id);
      return { id, stopped: () => gateway.pool.trainers.length === 1 };
    },
    'while its surrogate is trained': async () => {
      const { id } = await create(looped);
      const trainer = await gateway.pool.trainer();
      return { id, stopped: () => trainer.stopped && trainer.released?.discard === true };
    },
    'while its trainer starts': async () => {
      gateway.pool.refused.set('trainer', 'never');
      const { id } = await create(plain);
      await gateway.pool.changed.until(() => gateway.pool.asked.includes('trainer'));
      return { id, stopped: () => gateway.pool.list().length === 0 };
    },
    'while it is trained': async () => {
      const { id } = await create(plain);
      const trainer = await gateway.pool.trainer();
      await toRunning(id);
      return { id, stopped: () => trainer.stopped && trainer.released?.discard === true };
    },
    'while it is attacked': async () => {
      trainSurrogatesAtOnce(await gateway.checkpoint(7));
      const { id } = await create(looped);
      const trainer = await gateway.pool.trainer(2);
      const attacker = await gateway.pool.attacker();
      return { id, stopped: () => trainer.stopped && attacker.cancelled && attacker.released?.discard === true };
    },
  };
  for (const [when, reach] of Object.entries(stages))
    test(`ends a run ${when}`, async () => {
      const { id, stopped } = await reach();
      const cancelled = await cancel(id);
      expect(cancelled.state).toBe(RUN_STATE_CANCELLED);
      await gateway.pool.changed.until(stopped);
      const events = await gateway.events(id);
      expect(words(events).at(-1)).toBe('CANCELLED');
      expect(sequences(events)).toEqual(events.map((_, i) => i + 1));
      await expect(cancel(id)).rejects.toMatchObject({ reason: 'RUN_FINISHED' });
    });

  test('ends the surrogate that nobody needs any more', async () => {
    const { id } = await create(looped);
    await gateway.pool.trainer();
    await cancel(id);
    const [surrogate] = (await gateway.application.trainingRuns.list({ pageSize: 1, pageToken: '' }, LOCAL))
      .trainingRuns;
    const events = await gateway.events(surrogate?.name.replace('trainingRuns/', '') ?? '');
    expect([words(events).at(-1), reasonOf(events)]).toEqual(['CANCELLED', 'the run that needed it ended']);
  });

  test('does not take the surrogate from a run that asks for it just then: another one is trained', async () => {
    const { pool } = gateway;
    const mayEnd = deferred<void>();
    const release = pool.release.bind(pool);
    pool.release = async (...given) => {
      await mayEnd.promise;
      return release(...given);
    };
    const first = await create(looped);
    await pool.trainer();
    await cancel(first.id);
    const model = await gateway.checkpoint(7);
    pool.onStart = (trainer) => {
      trainer.emit(saved(model, 1));
      trainer.end();
    };
    pool.onAttacker = (attacker) => attacker.end();
    const second = await create(looped);
    // The one that nobody needs any more is still about to end.
    await eventually(async () => (await get(second.id)).stateReason.startsWith('training the surrogate'));
    mayEnd.resolve();
    const events = await gateway.events(second.id);
    expect([words(events).at(-1), JSON.stringify(events)]).toEqual([
      'SUCCEEDED',
      expect.not.stringContaining('CANCELLED'),
    ]);
    expect(pool.attackers[0]?.following?.surrogateDigests).toHaveLength(2);
  });
});

describe('the queue', () => {
  test('lets one run train at a time, in the order in which they came', async () => {
    gateway.pool.onStart = (trainer) => trainer.end();
    const runs = [await create(plain), await create(plain), await create(plain)];
    for (const { id } of runs) expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
    expect(gateway.pool.trainers.map(({ started }) => started?.run)).toEqual(runs.map(({ name }) => name));
    const ends = await Promise.all(runs.map(({ id }) => get(id)));
    for (const [i, { startTime }] of ends.entries())
      if (i > 0) expect(startTime?.getTime()).toBeGreaterThan(ends[i - 1]?.endTime?.getTime() ?? Number.NaN);
  });

  test('lets as many train at once as it was told', async () => {
    await gateway.close();
    gateway = await testGateway(store, { trainingsAtOnce: 2 });
    const runs = [await create(plain), await create(plain)];
    const trainers = [await gateway.pool.trainer(0), await gateway.pool.trainer(1)];
    for (const trainer of trainers) trainer.end();
    for (const { id } of runs) expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
  });

  test('survives a stop: what was going on is handed back and goes on, what was queued begins', async () => {
    const running = await create(plain);
    const trainer = await gateway.pool.trainer();
    await toRunning(running.id);
    const queued = await create(plain);
    const model = await gateway.checkpoint(1);
    trainer.keep({ kind: 'models', digest: model.replace('models/', ''), step: 1 });
    await gateway.close();
    expect(trainer.handedBack).toBe(true);
    expect(await store.runs.get('training', running.id)).toMatchObject({
      state: RUN_STATE_QUEUED,
      reason: 'the gateway stopped; the run goes on when it is up again',
      retries: 0,
      resumePoint: { step: 1 },
    });
    expect((await store.runs.get('training', queued.id)).state).toBe(RUN_STATE_QUEUED);

    gateway = await testGateway(store);
    gateway.pool.onStart = (next) => next.end();
    const crashed = await store.runs.create({ kind: 'training', spec: TrainingSpec.toJSON(plain) });
    await store.runs.transition(crashed.id, RunState.RUN_STATE_STARTING);
    await gateway.conductor.resume();
    for (const { id } of [running, queued, crashed]) expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
    expect(gateway.pool.trainers[0]?.started).toMatchObject({ run: running.name, resume: { point: { step: 1 } } });
    expect(gateway.pool.trainers[1]?.started?.resume?.point).toBeUndefined();
  });

  test('survives a stop although runs are cancelled before their turn to be resumed comes', async () => {
    gateway.pool.onStart = (trainer) => trainer.end();
    const spec = TrainingSpec.toJSON(plain);
    const crashed: string[] = [];
    for (const role of ['', 'surrogate', '']) {
      const { id } = await store.runs.create({ kind: 'training', spec, labels: { role } });
      await store.runs.transition(id, RunState.RUN_STATE_STARTING);
      crashed.push(id);
    }
    const [early = '', surrogate = '', last = ''] = crashed;
    const active = store.runs.active.bind(store.runs);
    const spy = vi.spyOn(store.runs, 'active').mockImplementationOnce(async () => {
      const runs = await active();
      for (const id of [early, surrogate]) await cancel(id);
      return runs;
    });
    await gateway.conductor.resume().finally(() => spy.mockRestore());
    expect(words(await gateway.events(last)).at(-1)).toBe('SUCCEEDED');
    for (const id of [early, surrogate]) expect((await get(id)).stateReason).toBe('cancelled on request');
  });

  test('a surrogate that was being trained when the gateway stopped is trained again for who needs it', async () => {
    const run = await create(looped);
    await gateway.pool.trainer();
    await gateway.close();
    const active = (await store.runs.active()).map(({ id }) => id);
    expect(active).toContain(run.id);
    gateway = await testGateway(store);
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    await gateway.conductor.resume();
    const trainer = await gateway.pool.trainer(2);
    expect(trainer.started?.run).toBe(run.name);
    await cancel(run.id);
  });
});
