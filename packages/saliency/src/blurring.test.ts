import { createEngine, type Engine, float32, int32 } from '@jsigr/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { methodNamed } from './registry.ts';
import { linearClassifier } from './testing/models.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/** Aborted from its n-th look on. */
function abortedAtLook(n: number): AbortSignal {
  let looks = 0;
  const throwIfAborted = () => {
    if (++looks >= n) throw new Error('enough');
  };
  return Object.defineProperty(new AbortController().signal, 'throwIfAborted', { value: throwIfAborted });
}

test.each(['perturbation', 'sarfa'])('%s of a large image begins with the masks of a few places', async (name) => {
  // The masks of all places of 512 x 512 pixels would take 256 GiB. The second part is not begun: its look is the third.
  const side = 512;
  const weights = Array<number>(side * side).fill(0);
  const context = {
    engine,
    classifier: linearClassifier([weights, weights], [0, 0], [side, side, 1]),
    images: float32(new Float32Array(side * side), [1, side, side, 1]),
    targets: int32([1], [1]),
    signal: abortedAtLook(3),
  };
  await expect(methodNamed(name).explain(context, { stride: 1 })).rejects.toThrow('enough');
});
