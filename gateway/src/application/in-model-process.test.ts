import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import { JsigrError } from '@jsigr/service';
import { afterEach, expect, test } from 'vitest';
import { inModelProcess, type ModelProcessOptions } from './in-model-process.ts';

const FILE = readFileSync(new URL('../../../packages/engine/golden/onnx/torch-plain-11/model.onnx', import.meta.url));

/** Ids of the processes that read models for this one. */
function processes(): number[] {
  try {
    const found = execFileSync('pgrep', ['-P', String(process.pid), '-f', 'model-process'], { encoding: 'utf8' });
    return found.trim().split('\n').map(Number);
  } catch {
    return []; // pgrep found none
  }
}
const imported = (options?: ModelProcessOptions, bytes: Uint8Array = FILE) =>
  inModelProcess('fromForeign', { files: { 'model.onnx': bytes }, options: {}, endpointNetworks: [] }, options);
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

afterEach(() => expect.poll(processes).toEqual([]));

test('a model is read, and an error of it keeps its reason', async () => {
  const { files } = await imported();
  expect(JSON.parse(Buffer.from(files['manifest.json'] ?? []).toString())).toMatchObject({ model: { classes: 6 } });
  expect(await failure(imported({}, Buffer.from('no model')))).toMatchObject({ code: status.INVALID_ARGUMENT });
});

test('one that takes more memory than it may is refused', async () => {
  expect(await failure(imported({ mostBytes: 2 ** 24 }))).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    reason: 'MODEL_TOO_LARGE',
    message: expect.stringContaining('16 MiB'),
  });
});

test('whoever gives up waits no longer, and nothing goes on', async () => {
  const controller = new AbortController();
  const work = imported({ signal: controller.signal });
  await expect.poll(processes).toHaveLength(1);
  controller.abort(new Error('enough'));
  await expect(work).rejects.toThrow('enough');
});

test.each([
  ['SIGSEGV', { code: status.INVALID_ARGUMENT, message: expect.stringContaining('made the program crash') }],
  ['SIGKILL', { code: status.UNAVAILABLE, reason: 'COMPUTE_THREAD_DIED' }],
] as const)('a process that ends with %s is told', async (signal, expected) => {
  const work = failure(imported());
  await expect.poll(processes).toHaveLength(1);
  for (const id of processes()) process.kill(id, signal);
  expect(await work).toMatchObject(expected);
});
