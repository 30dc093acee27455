import {
  CreateTrainingRunRequest,
  EvaluationPlan,
  Feedback,
  RobustnessReport,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingSpec,
} from '@jsigr/proto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EventPayload } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import type { FakeTrainer } from '../testing/fake-workers.ts';
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
afterEach(() => gateway.close());

const plain = TrainingSpec.fromPartial({ dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 });
const transfer = EvaluationPlan.fromPartial({ attacks: [{ attack: 'mi-fgsm', epsilons: [0.1] }], samples: 5 });
const looped = { ...plain, loop: { enabled: true, feedback: Feedback.FEEDBACK_SELECT, plan: transfer } };

async function create(spec: TrainingSpec): Promise<TrainingRun & { id: string }> {
  const request = CreateTrainingRunRequest.fromPartial({ spec });
  const run = await gateway.application.trainingRuns.create(request);
  return { ...run, id: run.name.replace('trainingRuns/', '') };
}
const get = (id: string) => gateway.application.trainingRuns.get({ name: `trainingRuns/${id}` });
const cancel = (id: string) => gateway.application.trainingRuns.cancel({ name: `trainingRuns/${id}` });

const progress = (step: number): EventPayload => ({
  $case: 'trainingProgress',
  value: { step, totalSteps: 2, metrics: [], imagesPerSecond: 1, secondsLeft: 0 },
});
const report = (model: string): EventPayload => ({
  $case: 'robustnessReported',
  value: RobustnessReport.fromPartial({ model, dataset: TINY, surrogates: ['models/aa'] }),
});
const selected = (model: string): EventPayload => ({
  $case: 'checkpointSelected',
  value: { model, step: 1, norm: 'linf', epsilon: 0.1, robustAccuracy: undefined },
});

/** Surrogates are trained in a moment; the run that is looked at is left to the test. */
function trainSurrogatesAtOnce(digest: string): void {
  gateway.pool.onStart = (trainer) => {
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
    const model = await gateway.application.models.get({ name: second });
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
    [
      'dies',
      (trainer) => trainer.die('was killed by SIGKILL; it said: out of memory'),
      /^the trainer \(process 1\) was killed by SIGKILL; it said: out of memory$/,
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
    expect(reasonOf(events)).toBe('the trainer did not start: it ended with exit code 3');
  });
});

describe('a loop', () => {
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
    const { trainingRuns } = await gateway.application.trainingRuns.list({ pageSize: 3, pageToken: '' });
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

  test('goes on without its attacker when that dies, and says so', async () => {
    trainSurrogatesAtOnce(await gateway.checkpoint(7));
    const run = await create(looped);
    const trainer = await gateway.pool.trainer(2);
    const attacker = await gateway.pool.attacker();
    const [first, second] = [await gateway.checkpoint(1), await gateway.checkpoint(2)];
    trainer.emit(saved(first, 1));
    trainer.emit(report(first));
    await attacker.die('ended with exit code 1; it said: no memory');
    for (
      let last = 0;
      !words(await store.runs.events(run.id, 0))
        .slice(-3)
        .includes('workerChanged');
      last++
    )
      await store.runs.changedAfter(run.id, last);
    trainer.emit(saved(second, 2));
    trainer.end();
    const events = await gateway.events(run.id);
    expect(words(events).at(-1)).toBe('SUCCEEDED');
    const payloads = events.map(({ payload }) => payload?.value);
    const problem = 'the attacker: the attacker (process 1) ended with exit code 1; it said: no memory';
    expect(payloads).toContainEqual({
      kind: 'attacker',
      address: attacker.address,
      change: `${problem}; the training goes on, checkpoints are not attacked`,
    });
    expect(payloads).toContainEqual({ models: [second], reason: problem });
    expect((await get(run.id)).bestModel).toBe(second);
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
    const [surrogate] = (await gateway.application.trainingRuns.list({ pageSize: 1, pageToken: '' })).trainingRuns;
    const events = await gateway.events(surrogate?.name.replace('trainingRuns/', '') ?? '');
    expect([words(events).at(-1), reasonOf(events)]).toEqual(['CANCELLED', 'the run that needed it ended']);
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
    gateway = await testGateway(store, 2);
    const runs = [await create(plain), await create(plain)];
    const trainers = [await gateway.pool.trainer(0), await gateway.pool.trainer(1)];
    for (const trainer of trainers) trainer.end();
    for (const { id } of runs) expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
  });

  test('survives a stop: what was going on has failed, what was queued begins', async () => {
    const running = await create(plain);
    await gateway.pool.trainer();
    await toRunning(running.id);
    const queued = await create(plain);
    await gateway.close();
    expect(reasonOf(await gateway.events(running.id))).toBe(
      'the gateway stopped while the run was going on; create the run again',
    );
    expect((await store.runs.get('training', queued.id)).state).toBe(RUN_STATE_QUEUED);

    gateway = await testGateway(store);
    gateway.pool.onStart = (trainer) => trainer.end();
    const crashed = await store.runs.create({
      kind: 'training',
      spec: TrainingSpec.toJSON(plain),
    });
    await store.runs.transition(crashed.id, RunState.RUN_STATE_STARTING);
    await gateway.conductor.resume();
    expect(words(await gateway.events(crashed.id)).at(-1)).toBe('FAILED');
    expect(words(await gateway.events(queued.id)).at(-1)).toBe('SUCCEEDED');
  });
});
