import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { valueAndGrad } from './autodiff.ts';
import { createEngine, type Engine } from './engine.ts';
import { EngineError } from './errors.ts';
import { spec } from './ndarray.ts';
import { readSafetensors, writeSafetensors } from './safetensors.ts';
import { draw } from './testing.ts';

const engines: Engine[] = [];
async function make(): Promise<Engine> {
  const engine = await createEngine({ threads: 1 });
  engines.push(engine);
  return engine;
}
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.dispose()));
});

/** Has constants, attributes that JSON cannot say (-0, Infinity), and a result with levels. */
function step({ x, w }: { x: tf.Tensor; w: tf.Tensor }) {
  const loss = (weights: tf.Tensor) => {
    const hidden = tf.conv2d(x as tf.Tensor4D, weights as tf.Tensor4D, 1, 'same');
    const clipped = tf.clipByValue(tf.mul(hidden, tf.range(1, 5)), -0.5, Number.POSITIVE_INFINITY);
    return tf.sum(tf.square(tf.where(tf.greater(clipped, 0), clipped, tf.fill(clipped.shape, -0))));
  };
  const { value, gradient } = valueAndGrad(loss, w);
  return { loss: value, gradients: { 'layer.weight': gradient } };
}
const specs = { x: spec(2, 4, 4, 3), w: spec(3, 3, 3, 4) };
const inputs = { x: draw('x', specs.x.shape), w: draw('w', specs.w.shape) };

async function saved(): Promise<Uint8Array> {
  return (await (await make()).compile(step, specs, { name: 'step' })).save();
}

describe('a saved function', () => {
  test('runs in another engine to the same bits, without being traced', async () => {
    const compiled = await (await make()).compile(step, specs, { name: 'step' });
    const expected = await compiled.run(inputs);
    const loaded = await (await make()).load(compiled.save());
    expect(await loaded.run(inputs)).toEqual(expected);
    expect(loaded.graph.name).toBe('step');
    expect(loaded.save()).toEqual(compiled.save());
  });

  test('checks its inputs as it did before', async () => {
    const loaded = await (await make()).load(await saved());
    await expect(loaded.run({ x: inputs.x, w: inputs.x })).rejects.toThrow(
      /'step' wants float32\[3,3,3,4\] as 'w' and was given float32\[2,4,4,3\]/,
    );
  });
});

describe('a file that is none', () => {
  type Stored = { nodes: unknown[][]; outputs: unknown[]; result: unknown };
  const changed = async (change: (graph: Stored) => void): Promise<Uint8Array> => {
    const { tensors, metadata } = readSafetensors(await saved());
    const graph = JSON.parse(metadata.graph ?? '') as Stored;
    change(graph);
    return writeSafetensors(tensors, { ...metadata, graph: JSON.stringify(graph) });
  };
  const cases: readonly [string, () => Promise<Uint8Array>, RegExp][] = [
    ['no safetensors', async () => new Uint8Array([1, 2, 3]), /3 bytes are too few/],
    ['cut off', async () => (await saved()).slice(0, -5), /the file holds/],
    ['another format', async () => writeSafetensors({}, { format: 'pt' }), /its format is pt, not jsigr-graph-1/],
    ['a node that comes later', () => changed(({ nodes }) => nodes[2]?.splice(1, 1, [99])), /refers to number 99/],
    ['an unknown kernel', () => changed(({ nodes }) => nodes.at(-1)?.splice(0, 1, 'Magic')), /no primitive operation/],
    ['another shape', () => changed(({ nodes }) => nodes.at(-1)?.splice(2, 1, [1])), /it should be float32/],
    [
      'no constants',
      () => changed(({ nodes }) => nodes.splice(0, 0, ['Constant', [], [9], 'float32', {}])),
      /constant 0/,
    ],
    ['no attributes', () => changed(({ nodes }) => nodes.map((node) => node.splice(4, 1))), /saved function/],
    ['a result without its output', () => changed((graph) => Object.assign(graph, { result: 'z' })), /leaf 'z'/],
  ];
  test.each(cases)('%s', async (_, bytes, message) => {
    const engine = await make();
    await expect(engine.load(await bytes())).rejects.toMatchObject({
      reason: 'MALFORMED_FILE',
      message: expect.stringMatching(message),
    });
    expect(engine.loaded).toBe(0);
  });

  test('any byte changed: an error, or a graph that is valid', async () => {
    const [engine, bytes] = [await make(), await saved()];
    const change = fc.record({ place: fc.nat(bytes.length - 1), value: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const broken = bytes.slice();
        for (const { place, value } of changes) broken[place] = value;
        const loaded = await engine.load(broken).catch((error: unknown) => error);
        if (loaded instanceof Error) expect(loaded).toBeInstanceOf(EngineError);
        else await (loaded as Awaited<ReturnType<Engine['load']>>).release();
      }),
      { numRuns: 150, seed: 5 },
    );
  });
});
