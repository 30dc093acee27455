import { status } from '@grpc/grpc-js';
import { resolveModelSpec } from '@jsigr/models';
import { type ComputeThread, JsigrError, siblingModule, startComputeThread } from '@jsigr/service';
import { movable } from '@jsigr/service/compute';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ExplainArgument, ExplainerMethods } from './methods.ts';
import { untrained } from './testing.ts';

let thread: ComputeThread<ExplainerMethods>;
beforeAll(() => {
  thread = startComputeThread<ExplainerMethods>(siblingModule(import.meta.url, 'compute'), { data: { threads: 1 } });
});
afterAll(() => thread.close());

const SIDE = 64;

async function load(digest: string): Promise<void> {
  const model = resolveModelSpec({ architecture: 'mlp', input: [SIDE, SIDE, 1], classes: 3 });
  const { files, buffers } = movable(untrained(model));
  await thread.call('load', { digest, files }, { transfer: buffers });
}

function argument(change: Partial<ExplainArgument>): ExplainArgument {
  const image = new Float32Array(SIDE * SIDE).fill(0.5);
  return { model: 'a', image, method: 'gradient', settings: {}, output: 'logit', seed: 0, ...change };
}

test('a caller who goes frees the thread: the next one is answered', async () => {
  await load('a');
  const controller = new AbortController();
  const { signal } = controller;
  // 983,280 forward passes: some minutes.
  const long = argument({ method: 'shapley', settings: { size: 1, orders: 240 } });
  const work = thread.call('explain', long, { signal });
  // What was sent before it has been read when this is answered.
  await thread.call('describe', 'a');
  controller.abort(new DOMException('gone', 'AbortError'));
  await expect(work).rejects.toThrow('gone');
  expect((await thread.call('explain', argument({}))).attribution).toHaveLength(SIDE * SIDE);
});

test('a model that is not loaded is a trouble of the explainer, not of the request', async () => {
  const error = await thread.call('explain', argument({ model: 'b' })).catch(JsigrError.from);
  expect(error).toMatchObject({ code: status.UNAVAILABLE, reason: 'NOT_LOADED' });
});

test('a request keeps its model until it is answered, whatever is loaded meanwhile', async () => {
  await load('mine');
  const answer = thread.call('explain', argument({ model: 'mine' }));
  await Promise.all(Array.from({ length: 20 }, (_, i) => load(`other ${i}`)));
  expect((await answer).attribution).toHaveLength(SIDE * SIDE);
  expect(await thread.call('describe', 'mine')).toBeUndefined();
});
