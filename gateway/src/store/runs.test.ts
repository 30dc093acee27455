import { status } from '@grpc/grpc-js';
import { RunState } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from './run-rows.ts';
import type { EventPayload } from './runs.ts';
import { type Store, storeOn } from './store.ts';
import { OPENING_MS, onEachDatabase, tickingClock } from './testing.ts';

const { RUN_STATE_QUEUED, RUN_STATE_STARTING, RUN_STATE_RUNNING, RUN_STATE_SUCCEEDED, RUN_STATE_CANCELLED } = RunState;

const progress = (step: number): EventPayload => ({
  $case: 'trainingProgress',
  value: {
    step,
    totalSteps: 100,
    metrics: [{ name: 'loss', value: Number.NaN }],
    imagesPerSecond: 0,
    secondsLeft: Number.POSITIVE_INFINITY,
  },
});
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

onEachDatabase((database) => {
  let store: Store;
  /** The store as another process has it, where there can be one. */
  let other: Store;
  let clock: () => Date;
  let ahead = 0;
  beforeAll(async () => {
    const ticking = tickingClock();
    clock = () => new Date(ticking().getTime() + ahead);
    store = await storeOn(await database.open(), clock);
    const again = await database.openAgain();
    other = again ? await storeOn(again, clock) : store;
  }, OPENING_MS);
  afterAll(async () => {
    await other.close();
    if (other !== store) await store.close();
  });

  describe('runs', () => {
    test('a new run is queued and has its first event', async () => {
      const run = await store.runs.create({ kind: 'training', spec: { epochs: 3 }, labels: { team: 'blue' } });
      expect(await store.runs.get('training', run.id)).toEqual(run);
      expect(run).toMatchObject({ state: RUN_STATE_QUEUED, lastSequence: 1, spec: { epochs: 3 }, summary: {} });
      expect(await store.runs.events(run.id, 0)).toMatchObject([
        { sequence: 1, payload: { $case: 'stateChanged', value: { state: RUN_STATE_QUEUED, reason: '' } } },
      ]);
    });

    test('ends with any reason: what PostgreSQL does not keep of it is replaced', async () => {
      const { id } = await store.runs.create({ kind: 'evaluation', spec: {} });
      await store.runs.transition(id, RunState.RUN_STATE_FAILED, 'it answered: a\0b \ud83d');
      const reason = 'it answered: a\ufffdb \ufffd';
      expect(await store.runs.get('evaluation', id)).toMatchObject({ state: RunState.RUN_STATE_FAILED, reason });
      expect(await store.runs.events(id, 1)).toMatchObject([{ payload: { value: { reason } } }]);
    });

    test('a life: every transition is an event, times are set when it starts to run and when it ends', async () => {
      const { id, createTime } = await store.runs.create({ kind: 'training', spec: {} });
      await store.runs.transition(id, RUN_STATE_STARTING, 'waiting for a trainer');
      const running = await store.runs.transition(id, RUN_STATE_RUNNING);
      expect(running.startTime?.getTime()).toBeGreaterThan(createTime.getTime());
      await store.runs.append(id, progress(7), { summary: { progress: { step: 7 } } });
      const ended = await store.runs.transition(id, RUN_STATE_SUCCEEDED, 'trained');
      expect(ended).toMatchObject({ reason: 'trained', lastSequence: 5, summary: { progress: { step: 7 } } });
      expect(ended.endTime?.getTime()).toBeGreaterThan(running.startTime?.getTime() ?? 0);
      const events = await store.runs.events(id, 0);
      expect(events.map(({ sequence, payload }) => [sequence, payload?.$case])).toEqual([
        [1, 'stateChanged'],
        [2, 'stateChanged'],
        [3, 'stateChanged'],
        [4, 'trainingProgress'],
        [5, 'stateChanged'],
      ]);
    });

    test('a report stays with the run until another one takes its place', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      const report = (accuracy: number) => ({ latestReport: { accuracy, of: 'the "model"' } });
      await store.runs.append(id, progress(1), { summary: { ...report(0.5), latestModel: 'models/a' } });
      await store.runs.append(id, progress(2), { summary: { progress: { step: 2 } } });
      const expected = { ...report(0.5), latestModel: 'models/a', progress: { step: 2 } };
      expect((await store.runs.get('training', id)).summary).toEqual(expected);
      // By the transaction that is made where one statement does not do it.
      const resumePoint = { kind: 'models', digest: 'a', step: 3 } as const;
      await store.runs.append(id, progress(3), { summary: report(0.75), resumePoint });
      const [listed] = (await store.runs.list('training', { pageSize: 1, pageToken: '' })).items;
      expect(listed).toMatchObject({ id, summary: { ...expected, ...report(0.75) } });
      await store.runs.append(id, progress(4), { summary: { progress: { step: 4 } }, resumePoint });
      expect((await store.runs.get('training', id)).summary).toMatchObject(report(0.75));
    });

    test('numbers that are none survive storage', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      await store.runs.append(id, progress(1));
      const [event] = await store.runs.events(id, 1);
      expect(event?.payload).toEqual(progress(1));
    });

    test('an illegal transition changes nothing and says so', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      const error = await failure(store.runs.transition(id, RUN_STATE_SUCCEEDED));
      expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, reason: 'ILLEGAL_TRANSITION' });
      expect(error.message).toContain('is QUEUED and cannot become SUCCEEDED');
      expect((await store.runs.get('training', id)).lastSequence).toBe(1);
    });

    test('nothing follows a final state', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      await store.runs.transition(id, RUN_STATE_CANCELLED);
      expect(await failure(store.runs.append(id, progress(1)))).toMatchObject({ reason: 'RUN_FINISHED' });
      expect(await failure(store.runs.transition(id, RUN_STATE_CANCELLED))).toMatchObject({
        reason: 'ILLEGAL_TRANSITION',
      });
    });

    test('sequence numbers have no gaps when many write at once and some are refused', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      const writes = Array.from({ length: 40 }, (_, i) =>
        i % 4 === 3 ? failure(store.runs.transition(id, RUN_STATE_SUCCEEDED)) : store.runs.append(id, progress(i)),
      );
      await Promise.all(writes);
      const events = await store.runs.events(id, 0);
      expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 31 }, (_, i) => i + 1));
      expect((await store.runs.get('training', id)).lastSequence).toBe(31);
    });

    test('waiting ends with the next event, and with the signal', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      const waiting = store.runs.changedAfter(id, 1);
      await store.runs.append(id, progress(1));
      await waiting;
      const controller = new AbortController();
      const second = store.runs.changedAfter(id, 2, controller.signal);
      controller.abort(new DOMException('enough', 'AbortError'));
      expect(await failure(second)).toMatchObject({ code: status.CANCELLED });
    });

    test('a run of the other kind is not found under this one', async () => {
      const { id } = await store.runs.create({ kind: 'evaluation', spec: {} });
      expect(await failure(store.runs.get('training', id))).toMatchObject({ code: status.NOT_FOUND });
      expect((await store.runs.get('evaluation', id)).id).toBe(id);
    });

    test('runs are found by their labels and by not being finished', async () => {
      const mark = newId();
      const make = (role: string) => store.runs.create({ kind: 'training', spec: {}, labels: { role, mark } });
      const [first, second] = [await make('surrogate'), await make('surrogate')];
      await make('other');
      await store.runs.transition(second.id, RUN_STATE_CANCELLED);
      const found = await store.runs.labelled('training', { role: 'surrogate', mark });
      expect(found.map(({ id }) => id)).toEqual([second.id, first.id]);
      const active = (await store.runs.active()).map(({ id }) => id);
      expect(active).toContain(first.id);
      expect(active).not.toContain(second.id);
    });
  });

  describe('request ids', () => {
    const request = (id: string, fingerprint: string) =>
      ({ kind: 'training', spec: {}, request: { id, fingerprint } }) as const;

    test('the same request again gives the run that the first one made', async () => {
      const first = await store.runs.create(request('again', 'a'));
      await store.runs.append(first.id, progress(1));
      const again = await store.runs.create(request('again', 'a'));
      expect(again.id).toBe(first.id);
      expect(again.lastSequence).toBe(2);
    });

    test('the same request many times at once makes one run', async () => {
      const runs = await Promise.all(Array.from({ length: 8 }, () => store.runs.create(request('at once', 'a'))));
      expect(new Set(runs.map(({ id }) => id)).size).toBe(1);
    });

    test('another request under the same id is refused, naming the run that has it', async () => {
      const first = await store.runs.create(request('taken', 'a'));
      const error = await failure(store.runs.create(request('taken', 'b')));
      expect(error).toMatchObject({ code: status.ALREADY_EXISTS, reason: 'REQUEST_ID_REUSED' });
      expect(error.message).toContain(`trainingRuns/${first.id}`);
    });

    test('the same id for an evaluation is another matter', async () => {
      const training = await store.runs.create(request('both', 'a'));
      const evaluation = await store.runs.create({ ...request('both', 'b'), kind: 'evaluation' });
      expect(evaluation.id).not.toBe(training.id);
    });
  });

  describe('request ids in time', () => {
    test('an id stands for its request for as long as there is its run', async () => {
      const request = (fingerprint: string) =>
        ({ kind: 'evaluation', spec: {}, request: { id: 'a sweep of days', fingerprint } }) as const;
      const first = await store.runs.create(request('a'));
      ahead += 100 * 24 * 3600_000;
      expect((await store.runs.create(request('a'))).id).toBe(first.id);
      expect(await failure(store.runs.create(request('b')))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
    });
  });

  describe('several processes', () => {
    test('that write to one run at once leave no gap and lose nothing', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? store : other).runs.append(id, progress(i))));
      const events = await other.runs.events(id, 0);
      expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 61 }, (_, i) => i + 1));
      const steps = events.flatMap(({ payload }) =>
        payload?.$case === 'trainingProgress' ? [payload.value.step] : [],
      );
      expect(steps.sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i));
    });

    test('that create by one request id at once make one run', async () => {
      const request = { kind: 'training', spec: {}, request: { id: 'from everywhere', fingerprint: 'a' } } as const;
      const runs = await Promise.all(
        Array.from({ length: 16 }, (_, i) => (i % 2 ? store : other).runs.create(request)),
      );
      expect(new Set(runs.map(({ id }) => id)).size).toBe(1);
    });

    test('hear of what the others write', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      const waiting = other.runs.changedAfter(id, 1);
      await store.runs.append(id, progress(1));
      await waiting;
      expect(await other.runs.events(id, 1)).toHaveLength(1);
    });
  });

  describe('optimistic concurrency', () => {
    test('an etag changes with the state alone, and an old one is refused', async () => {
      const queued = await store.runs.create({ kind: 'training', spec: {} });
      const starting = await store.runs.transition(queued.id, RUN_STATE_STARTING, '', { etag: queued.etag });
      expect(starting.etag).not.toBe(queued.etag);
      expect((await store.runs.append(queued.id, progress(1))).etag).toBe(starting.etag);
      const cancel = (etag: string) => store.runs.transition(queued.id, RUN_STATE_CANCELLED, '', { etag });
      expect(await failure(cancel(queued.etag))).toMatchObject({ code: status.ABORTED, reason: 'ETAG_MISMATCH' });
      expect((await cancel(starting.etag)).state).toBe(RUN_STATE_CANCELLED);
    });
  });

  describe('fencing', () => {
    const worker = (fencingToken: number) => ({ id: 'w', address: '127.0.0.1:1', fencingToken, tokenDigest: 'd' });
    test('a worker that the run was taken from cannot write any more', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      await store.runs.claim(id, worker(7), 7);
      await store.runs.append(id, progress(1), { fencingToken: 7 });
      await other.runs.claim(id, worker(9), 9);
      const point = { kind: 'models', digest: 'aa', step: 1 } as const;
      for (const write of [
        () => store.runs.append(id, progress(2), { fencingToken: 7 }),
        () => store.runs.transition(id, RUN_STATE_CANCELLED, '', { fencingToken: 7 }),
        () => store.runs.keepResumePoint(id, point, { fencingToken: 7 }),
        () => store.runs.keepPart(id, 0, { resumePoint: point }, { fencingToken: 7 }),
        () => store.runs.claim(id, worker(7), 7),
      ])
        expect(await failure(write())).toMatchObject({ code: status.FAILED_PRECONDITION, reason: 'FENCED' });
      await store.runs.append(id, progress(2), { fencingToken: 9 });
      expect(await store.runs.get('training', id)).toMatchObject({ lastSequence: 3, fencingToken: 9 });
    });
  });

  describe('beginning again', () => {
    test('counts the retries, and how many there were without coming further', async () => {
      const { id } = await store.runs.create({ kind: 'training', spec: {} });
      await store.runs.transition(id, RUN_STATE_STARTING);
      const again = () => store.runs.transition(id, RUN_STATE_STARTING, 'the trainer died', { retry: true });
      await again();
      expect(await again()).toMatchObject({ retries: 2, retriesInPlace: 2, resumePoint: undefined });
      const resumePoint = { kind: 'models', digest: 'aa', step: 5 } as const;
      await store.runs.append(id, progress(5), { resumePoint });
      expect(await again()).toMatchObject({ retries: 3, retriesInPlace: 1, resumePoint });
    });
  });

  test('of runs that workers are at, it is known when they were last heard of', async () => {
    const { id } = await store.runs.create({ kind: 'evaluation', spec: {} });
    const heardOf = async () => (await store.runs.lastHeard()).find((run) => run.id === id);
    await store.runs.transition(id, RUN_STATE_STARTING);
    expect(await heardOf()).toBeUndefined();
    await store.runs.transition(id, RUN_STATE_RUNNING);
    await store.runs.append(id, progress(1));
    const last = (await store.runs.events(id, 3))[0];
    expect(await heardOf()).toEqual({ kind: 'evaluation', id, time: last?.time });
  });

  describe('a run that workers share', () => {
    test('keeps what each has come to until it ends; coming further gives it new chances', async () => {
      const { id } = await store.runs.create({ kind: 'evaluation', spec: {} });
      await store.runs.transition(id, RUN_STATE_STARTING);
      expect(await store.runs.parts(id)).toEqual(new Map());
      const resumePoint = { kind: 'states', digest: 'aa', step: 5 } as const;
      await store.runs.keepPart(id, 0, { resumePoint });
      await store.runs.keepPart(id, 3, { resumePoint });
      await store.runs.transition(id, RUN_STATE_STARTING, 'the attacker died', { retry: true });
      const report = { ledger: 'bb' };
      expect(await store.runs.keepPart(id, 3, { report })).toMatchObject({ retries: 1, retriesInPlace: 0 });
      expect(await other.runs.parts(id)).toEqual(
        new Map([
          [0, { resumePoint }],
          [3, { report }],
        ]),
      );
      await store.runs.transition(id, RUN_STATE_CANCELLED);
      expect(await store.runs.parts(id)).toEqual(new Map());
      expect(await failure(store.runs.keepPart(id, 0, { resumePoint }))).toMatchObject({ reason: 'RUN_FINISHED' });
    });
  });

  test('a server that goes down and comes back: what was begun is written once, and whoever waits goes on', async () => {
    const { id } = await store.runs.create({ kind: 'training', spec: {} });
    const waiting = other.runs.changedAfter(id, 21);
    const writing = (async () => {
      for (let i = 1; i <= 30; i++) await store.runs.append(id, progress(i));
    })();
    await store.runs.changedAfter(id, 5);
    await database.interrupt();
    await writing;
    await waiting;
    const events = await store.runs.events(id, 1);
    const steps = events.map(({ payload }) => (payload?.$case === 'trainingProgress' ? payload.value.step : 0));
    expect(steps).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });
});
