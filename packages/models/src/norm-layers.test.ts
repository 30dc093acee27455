import {
  createEngine,
  type Engine,
  float32,
  type NdArray,
  specsOf,
  type Tree,
  uniform,
  valueAndGrad,
  vjp,
} from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { residualNetwork } from './architectures/residual.ts';
import { vggNetwork } from './architectures/vgg.ts';
import { makeForwards } from './create-classifier.ts';
import { bindLayers } from './layers.ts';
import { NORM_LAYERS, type NormKind } from './norm-layers.ts';
import type { ParameterShapes } from './parameter-shape.ts';

let engine: Engine;
let reference: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
  reference = await createEngine({ engine: 'reference' });
});
afterAll(() => Promise.all([engine, reference].map((each) => each.dispose())));

type Named<Value> = Readonly<Record<string, Value>>;
interface NormInputs<Value> {
  readonly x: Value;
  readonly parameters: Named<Value>;
}

/** What a norm makes of x `[batch, 1, 1, channels]`, and the running statistics that it records. */
async function normalise(
  kind: NormKind,
  rows: readonly (readonly number[])[],
  parameters: Named<NdArray>,
  training = true,
) {
  const x = float32(rows.flat(), [rows.length, 1, 1, rows[0]?.length ?? 0]);
  const inputs = { x, parameters };
  const run = (tree: Tree<Tensor>): Tree<Tensor> => {
    const given = tree as unknown as NormInputs<Tensor>;
    const seen: Record<string, Tensor> = {};
    const record = (name: string, value: Tensor) => {
      seen[name] = value;
    };
    const parameter = (name: string) => given.parameters[name] ?? tf.scalar(Number.NaN);
    const y = NORM_LAYERS[kind].apply(given.x, 'n', parameter, training ? record : undefined);
    return { y, ...seen };
  };
  const result = (await (await engine.compile(run, specsOf(inputs))).run(inputs)) as Record<string, NdArray>;
  return Object.fromEntries(Object.entries(result).map(([name, { data }]) => [name, [...data]]));
}

const channel = (scale: number, offset: number, mean: number, variance: number) => ({
  'n.scale': float32([scale], [1]),
  'n.offset': float32([offset], [1]),
  'n.mean': float32([mean], [1]),
  'n.variance': float32([variance], [1]),
});

describe('batch normalisation', () => {
  // The batch 1, 2, 6 has mean 3, biased variance 14/3 and unbiased variance 7.
  it('in training normalises by the batch and moves the running statistics by a tenth', async () => {
    const result = await normalise('batch', [[1], [2], [6]], channel(2, 1, 10, 20));
    const deviation = Math.sqrt(14 / 3 + 1e-5);
    for (const [i, x] of [1, 2, 6].entries()) expect(result.y?.[i]).toBeCloseTo((2 * (x - 3)) / deviation + 1, 5);
    expect(result['n.mean']?.[0]).toBeCloseTo(0.9 * 10 + 0.1 * 3, 5);
    expect(result['n.variance']?.[0]).toBeCloseTo(0.9 * 20 + 0.1 * 7, 5);
  });

  it('in evaluation normalises by the running statistics and records nothing', async () => {
    const result = await normalise('batch', [[1], [2], [6]], channel(2, 1, 4, 9), false);
    for (const [i, x] of [1, 2, 6].entries())
      expect(result.y?.[i]).toBeCloseTo((2 * (x - 4)) / Math.sqrt(9 + 1e-5) + 1, 5);
    expect(Object.keys(result)).toEqual(['y']);
  });
});

describe('group normalisation', () => {
  it('normalises each of eight groups of a sample by itself, alike in both modes', async () => {
    // Two channels a group: a pair (a, b) becomes -1, 1 (or 1, -1) times |a - b| / 2 / sqrt((a - b)^2 / 4 + 1e-5).
    const row = [1, 3, 5, 5, -2, 2, 0, 1, 7, 3, 1, 2, 0, 0, 4, 8];
    const ones = (value: number) => float32(new Float32Array(16).fill(value), [16]);
    const parameters = { 'n.scale': ones(1), 'n.offset': ones(0.5) };
    const half = row.map((x, i) => (x - (row[i ^ 1] ?? 0)) / 2);
    for (const training of [true, false]) {
      const { y = [] } = await normalise('group', [row, row.map((x) => 10 * x)], parameters, training);
      for (const [i, h] of half.entries()) {
        expect(y[i]).toBeCloseTo(h / Math.sqrt(h * h + 1e-5) + 0.5, 4);
        expect(y[16 + i]).toBeCloseTo((10 * h) / Math.sqrt(100 * h * h + 1e-5) + 0.5, 4);
      }
    }
  });
});

describe('a filter and the batch normalisation after it', () => {
  it('are one convolution in evaluation mode, with the values and derivatives of both', async () => {
    const layers = (parameters: Named<Tensor>) =>
      bindLayers(parameters, { activation: 'relu', norm: 'batch', denoise: false });
    const ways = {
      together: ({ x, parameters }: NormInputs<Tensor>) => layers(parameters).normedFilter(x, 'c', 2, 'n'),
      apart: ({ x, parameters }: NormInputs<Tensor>) =>
        layers(parameters).norm(layers(parameters).filter(x, 'c', 2), 'n'),
    };
    const inputs = {
      x: draw('x', [BATCH, 5, 5, 2], 0, 1),
      parameters: {
        'c.weight': draw('w', [3, 3, 2, 8], -1, 1),
        'n.scale': draw('s', [8], 0.5, 2),
        'n.offset': draw('o', [8], -1, 1),
        'n.mean': draw('m', [8], -1, 1),
        'n.variance': draw('v', [8], 0.1, 3),
      },
    };
    const found: Record<string, Record<string, NdArray>> = {};
    for (const [way, normed] of Object.entries(ways)) {
      const run = (tree: Tree<Tensor>): Tree<Tensor> => {
        const { value, gradient } = valueAndGrad((given: NormInputs<Tensor>) => tf.sum(tf.square(normed(given))), {
          ...(tree as unknown as NormInputs<Tensor>),
        });
        return { value, x: gradient.x, ...gradient.parameters };
      };
      found[way] = (await (await engine.compile(run, specsOf(inputs))).run(inputs)) as Record<string, NdArray>;
    }
    const { together = {}, apart = {} } = found;
    expect(Object.keys(together)).toHaveLength(7);
    for (const [name, { data }] of Object.entries(apart)) {
      const scale = Math.max(...data.map(Math.abs));
      expect(scale).toBeGreaterThan(0);
      for (const [i, value] of data.entries())
        expect((together[name]?.data[i] ?? Number.NaN) / scale, name).toBeCloseTo(value / scale, 5);
    }
  });
});

const BATCH = 4;
const CLASSES = 3;
const networks = [
  residualNetwork({ name: 'post', summary: '', stem: 8, stages: [8, 16], blocks: 1, activation: 'after' }),
  residualNetwork({ name: 'pre', summary: '', stem: 8, stages: [8, 16], blocks: 1, activation: 'before' }),
  vggNetwork({ name: 'vgg', summary: '', stages: [[8], [16]] }),
];
const cases = [
  ...networks.flatMap((architecture) =>
    (['batch', 'group'] as const).flatMap((norm) =>
      (['softplus', 'gelu', 'silu'] as const).map((activation) => ({ architecture, norm, activation, denoise: false })),
    ),
  ),
  ...networks
    .filter(({ hasDenoising }) => hasDenoising)
    .map((architecture) => ({ architecture, norm: 'batch', activation: 'softplus', denoise: true }) as const),
];

interface StepInputs<Value> {
  readonly x: Value;
  readonly y: Value;
  readonly v: Value;
  readonly parameters: Named<Value>;
}

const draw = (stream: string, shape: readonly number[], from: number, to: number) => {
  const size = shape.reduce((product, side) => product * side, 1);
  return float32(
    uniform({ seed: 5, stream }, size).map((u) => from + u * (to - from)),
    shape,
  );
};

/** Everything away from its first value, so that no term of a derivative is zero. */
function drawParameters(shapes: ParameterShapes): Record<string, NdArray> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, { shape, mean, deviation }]) => {
      const range = Math.max(deviation, 0.2);
      return [name, draw(name, shape, mean - range, mean + range)];
    }),
  );
}

describe.each(cases)(
  'the derivative of a J-SIGR loss of $architecture.name with $norm norm, $activation, denoising: $denoise',
  (row) => {
    const { architecture, norm, activation, denoise } = row;
    const { training } = makeForwards(architecture, {
      activation,
      norm,
      denoise,
      input: [8, 8, 3],
      classes: CLASSES,
      normalization: { mean: 0, deviation: 1 },
    });
    const step = (tree: Tree<Tensor>): Tree<Tensor> => {
      const { x, y, v, parameters } = tree as unknown as StepInputs<Tensor>;
      const squaredNorm = (g: Tensor) => tf.mean(tf.sum(tf.square(g), [1, 2, 3]));
      const { value, gradient } = valueAndGrad((weights: Named<Tensor>) => {
        const { value: z, pullback } = vjp((images: Tensor) => training(weights, images).logits, x);
        const crossEntropy = tf.mean(tf.neg(tf.sum(tf.mul(y, tf.logSoftmax(z)), 1)));
        const penalties = tf.add(squaredNorm(pullback(tf.sub(tf.softmax(z), y))), squaredNorm(pullback(v)));
        return tf.add(crossEntropy, tf.mul(penalties, 0.3));
      }, parameters);
      return { value, gradient } as unknown as Tree<Tensor>;
    };
    const parameters = drawParameters(architecture.parameters([8, 8, 3], CLASSES, { norm, denoise }));
    const inputs = {
      x: draw('x', [BATCH, 8, 8, 3], 0, 1),
      y: float32([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0], [BATCH, CLASSES]),
      v: draw('v', [BATCH, CLASSES], -1, 1),
      parameters,
    };
    type Result = { readonly value: NdArray; readonly gradient: Named<NdArray> };
    const run = async (on: Engine, given = inputs) =>
      (await (
        await on.compile(step, specsOf(inputs as unknown as Tree<NdArray>))
      ).run(given as unknown as Tree<NdArray>)) as unknown as Result;

    it('is what the plain engine computes', async () => {
      const [ours, expected] = [await run(engine), await run(reference)];
      for (const [name, { data }] of Object.entries(expected.gradient)) {
        const scale = Math.max(1e-3, ...data.map(Math.abs));
        const worst = Math.max(
          ...data.map((value, i) => Math.abs(value - (ours.gradient[name]?.data[i] ?? Number.NaN))),
        );
        expect(worst / scale, name).toBeLessThan(2e-4);
      }
    });

    // Where pooling picks another maximum the penalty jumps, and differences mean nothing.
    it.skipIf(architecture.name === 'vgg')('is the limit of differences along itself', async () => {
      const { gradient } = await run(engine);
      const length = Math.hypot(...Object.values(gradient).map(({ data }) => Math.hypot(...data)));
      const moved = async (h: number) => {
        const there = Object.entries(parameters).map(([name, { shape, data }]) => [
          name,
          float32(
            Float32Array.from(data, (w, i) => w + (h * (gradient[name]?.data[i] ?? 0)) / length),
            shape,
          ),
        ]);
        return (await run(engine, { ...inputs, parameters: Object.fromEntries(there) })).value.data[0] ?? Number.NaN;
      };
      const h = 2e-3;
      const difference = ((await moved(h)) - (await moved(-h))) / (2 * h);
      expect(Math.abs(difference / length - 1)).toBeLessThan(3e-3);
    });
  },
);
