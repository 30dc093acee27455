import { StreamCheckpointsRequest, type StreamCheckpointsResponse } from '@jsigr/proto';
import { type ArtefactStore, type Files, JsigrError } from '@jsigr/service';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Checkpoints, type SavedCheckpoint } from './checkpoints.ts';
import { temporaryContext } from './testing.ts';

let artefacts: ArtefactStore;
let end: () => Promise<void>;
let checkpoints: Checkpoints;
let skips: number[][];
const never = new AbortController().signal;

beforeEach(async () => {
  ({ artefacts, end } = await temporaryContext());
  skips = [];
  checkpoints = new Checkpoints({
    artefacts,
    onSkipped: (skipped) => skips.push(skipped.map(({ sequence }) => sequence)),
  });
});
afterEach(() => end());

function filesOf(step: number, size = 10): Files {
  return { 'manifest.json': Buffer.from(`{"step":${step}}`), 'weights.safetensors': Buffer.alloc(size, step) };
}

async function save(step: number, size?: number): Promise<SavedCheckpoint> {
  return checkpoints.add({ step, epoch: step, digest: (await artefacts.put('models', filesOf(step, size))).digest });
}

function open(request: Partial<StreamCheckpointsRequest> = {}, signal = never) {
  return checkpoints.stream({ ...StreamCheckpointsRequest.fromPartial({}), ...request }, signal);
}

/** Reads up to the end of a checkpoint; undefined where the stream ends. */
async function readOne(stream: AsyncGenerator<StreamCheckpointsResponse>) {
  const chunks: { path: string; offset: number; data: Buffer }[] = [];
  let header: { sequence: number; skipped: number[] } | undefined;
  for (;;) {
    const { value, done } = await stream.next();
    if (done) return undefined;
    if (value.part?.$case === 'header') header = value.part.value;
    if (value.part?.$case === 'chunk') chunks.push(value.part.value);
    if (value.part?.$case === 'endOfCheckpoint') {
      const bytes = (path: string) =>
        Buffer.concat(chunks.filter((chunk) => chunk.path === path).map(({ data }) => data));
      return { sequence: header?.sequence, skipped: header?.skipped, chunks, bytes };
    }
  }
}

describe('a stream of checkpoints', () => {
  test('sends the files byte for byte, in chunks of at most 256 KiB', async () => {
    await save(1, 600_000);
    const got = await readOne(open());
    expect(got?.bytes('weights.safetensors')).toEqual(Buffer.alloc(600_000, 1));
    expect(got?.bytes('manifest.json').toString()).toBe('{"step":1}');
    expect(Math.max(...(got?.chunks.map(({ data }) => data.length) ?? []))).toBe(256 * 1024);
  });

  test('waits for the next checkpoint, and ends when there will be none', async () => {
    const stream = open();
    const first = readOne(stream);
    await save(1);
    expect((await first)?.sequence).toBe(1);
    const second = readOne(stream);
    checkpoints.complete();
    expect(await second).toBeUndefined();
  });

  test('goes on after a sequence number', async () => {
    await save(1);
    await save(2);
    checkpoints.complete();
    const stream = open({ afterSequence: 1 });
    expect((await readOne(stream))?.sequence).toBe(2);
    expect(await readOne(stream)).toBeUndefined();
  });

  test('goes on within a checkpoint, at a path and an offset, even when there are newer ones', async () => {
    await save(1, 600_000);
    await save(2);
    const got = await readOne(open({ path: 'weights.safetensors', readOffset: 599_990 }));
    expect(got?.sequence).toBe(1);
    expect(got?.chunks.map(({ path, offset, data }) => [path, offset, data.length])).toEqual([
      ['weights.safetensors', 599_990, 10],
    ]);
  });

  test('ends with its signal', async () => {
    const controller = new AbortController();
    const waiting = readOne(open({}, controller.signal));
    controller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
  });

  test.each([
    [{ afterSequence: 5 }, 'afterSequence'],
    [{ afterSequence: 0, path: 'manifest.json', readOffset: 99 }, 'readOffset'],
  ])('that cannot be (%j) is refused', async (request, field) => {
    await save(1);
    const error = await readOne(open(request)).then(
      () => undefined,
      (error) => JsigrError.from(error),
    );
    expect([error?.reason, error?.violations[0]?.field]).toEqual(['OUT_OF_RANGE', field]);
  });
});

describe('a follower that reports', () => {
  test('gets the next checkpoint after its report: the newest there is by then, and is told what it missed', async () => {
    await save(1);
    const stream = open({ awaitReports: true });
    expect((await readOne(stream))?.sequence).toBe(1);
    const next = readOne(stream);
    await save(2);
    await save(3);
    await save(4);
    checkpoints.markReported(1);
    expect(await next).toMatchObject({ sequence: 4, skipped: [2, 3] });
    expect(skips).toEqual([[2, 3]]);
  });

  test('that was cut off and comes back hears of the same gap, but the run is told once', async () => {
    await save(1);
    await save(2);
    await save(3);
    await readOne(open({ awaitReports: true }));
    expect(await readOne(open({ awaitReports: true }))).toMatchObject({ sequence: 3, skipped: [1, 2] });
    expect(skips).toEqual([[1, 2]]);
  });

  test('always gets the last one, and its stream ends after the report on it', async () => {
    await save(1);
    const stream = open({ awaitReports: true });
    await readOne(stream);
    await save(2);
    await save(3);
    checkpoints.complete();
    checkpoints.markReported(1);
    expect((await readOne(stream))?.sequence).toBe(3);
    const ending = readOne(stream);
    checkpoints.markReported(3);
    expect(await ending).toBeUndefined();
  });
});

describe('the end of training', () => {
  const wait = (attachMs: number, graceMs: number) => checkpoints.lastReport({ attachMs, graceMs, signal: never });

  test('waits for the report on the last checkpoint', async () => {
    await save(1);
    const stream = open({ awaitReports: true });
    await readOne(stream);
    const rest = readOne(stream);
    checkpoints.complete();
    const order: string[] = [];
    const waiting = wait(10_000, 10_000).then(() => order.push('ended'));
    order.push('reported');
    checkpoints.markReported(1);
    await waiting;
    await rest;
    expect(order).toEqual(['reported', 'ended']);
  });

  test('does not wait for a follower that never comes', async () => {
    await save(1);
    checkpoints.complete();
    await wait(1, 10_000);
  });

  test('does not wait for a follower that is gone', async () => {
    await save(1);
    const stream = open({ awaitReports: true });
    await readOne(stream);
    checkpoints.complete();
    const waiting = wait(10_000, 1);
    await stream.return(undefined);
    await waiting;
  });

  test('waits for one that comes back in time', async () => {
    await save(1);
    const stream = open({ awaitReports: true });
    await readOne(stream);
    checkpoints.complete();
    const waiting = wait(10_000, 10_000);
    await stream.return(undefined);
    const again = open({ awaitReports: true });
    await readOne(again);
    checkpoints.markReported(1);
    await waiting;
  });

  test('has nothing to wait for without a checkpoint', async () => {
    checkpoints.complete();
    await wait(10_000, 10_000);
  });
});
