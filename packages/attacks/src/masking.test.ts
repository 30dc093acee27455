import { createEngine, type Engine, float32, normal, stopGradient, type Tree } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluate } from './evaluation.ts';
import { assessMasking } from './masking.ts';
import { l1, linf, type Norm } from './norms.ts';
import { randomised } from './randomised.ts';
import { greySplit } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const SIZE = 16;
const COUNT = 48;
const weights = (stream: string, rows: number, columns: number) =>
  float32(normal({ seed: 3, stream }, rows * columns), [rows, columns]);

/** A smooth network with nothing to hide: 16 numbers, 24 hidden units, 3 classes. */
const honest: Classifier = {
  id: 'honest',
  input: [1, 4, 4],
  classes: 3,
  parameters: { hidden: weights('test.hidden', SIZE, 24), output: weights('test.output', 24, 3) },
  forward: network,
};

function network(parameters: Tree<tf.Tensor>, images: tf.Tensor): tf.Tensor {
  const { hidden, output } = parameters as { readonly hidden: tf.Tensor2D; readonly output: tf.Tensor2D };
  const centred = tf.sub(tf.reshape(images, [-1, SIZE]), tf.scalar(0.5)) as tf.Tensor2D;
  return tf.matMul(tf.tanh(tf.matMul(centred, hidden)), output);
}

/** Labelled as the network says. */
async function labelled(count = COUNT) {
  const grey = greySplit(count, SIZE, 5);
  const images = float32(
    Float32Array.from(grey.images, (value) => value / 255),
    [count, 1, 4, 4],
  );
  const { predictions } = await engine
    .compile(
      ({ parameters, x }: { parameters: { hidden: tf.Tensor; output: tf.Tensor }; x: tf.Tensor }) => ({
        predictions: tf.argMax(network(parameters, x), 1),
      }),
      {
        parameters: { hidden: { shape: [SIZE, 24], dtype: 'float32' }, output: { shape: [24, 3], dtype: 'float32' } },
        x: { shape: [count, 1, 4, 4], dtype: 'float32' },
      },
    )
    .then((compiled) => compiled.run({ parameters: honest.parameters as never, x: images }));
  return { ...grey, labels: Uint8Array.from(predictions.data) };
}

async function assess(target: Classifier, norm: Norm = linf) {
  const assessment = await assessMasking(engine, {
    target,
    surrogates: [honest],
    split: await labelled(),
    indices: Array.from({ length: COUNT }, (_, i) => i),
    norm,
    epsilon: 0.05,
    seed: 2,
    batchSize: 48,
  });
  if (!assessment) throw new Error('nothing was assessed');
  return assessment;
}

const changed = (id: string, change: (parameters: Tree<tf.Tensor>, images: tf.Tensor) => tf.Tensor): Classifier => ({
  ...honest,
  id,
  forward: change,
});

test('an honest network shows no sign', async () => {
  const { verdict, samples, signals } = await assess(honest);
  expect(signals.filter((signal) => signal.verdict !== 'no_sign')).toEqual([]);
  expect([verdict, samples, signals.length]).toEqual(['no_sign', COUNT, 11]);
});

test('an evaluation looks for masking where it is told to, at its largest radius', async () => {
  const options = {
    target: honest,
    surrogates: [],
    split: await labelled(),
    indices: Array.from({ length: COUNT }, (_, i) => i),
    input: honest.input,
    plan: [{ attack: 'fgsm', norm: 'linf' as const, epsilons: [0.02, 0.05] }],
    seed: 2,
  };
  expect((await evaluate(engine, options)).report.masking).toBe('not assessed');
  const { masking } = (await evaluate(engine, { ...options, assessMasking: true })).report;
  // Without surrogates nothing is transferred.
  expect(masking).toMatchObject({ verdict: 'no_sign', samples: COUNT, signals: { length: 10 } });
});

test('what an attack does not know of a norm is no evidence: it is left out', async () => {
  const names = (await assess(honest, l1)).signals.map(({ name }) => name);
  expect(names).not.toContain('black-box-beats-white-box');
  expect(names).not.toContain('one-step-beats-many');
  expect(names).toHaveLength(9);
});

describe('samples that the model gets wrong', () => {
  /** The last `right` samples are labelled as the network says, all before them otherwise. */
  const evaluated = async (right: number, count = COUNT) => {
    const { labels, ...rest } = await labelled(count);
    const wrong = labels.map((label, i) => (i < count - right ? (label + 1) % 3 : label));
    return (
      await evaluate(engine, {
        target: honest,
        surrogates: [],
        split: { ...rest, labels: wrong },
        indices: Array.from({ length: count }, (_, i) => i),
        input: honest.input,
        plan: [{ attack: 'noise', norm: 'linf', epsilons: [0.02] }],
        seed: 2,
        assessMasking: true,
      })
    ).report;
  };

  test('do not stand in the way of those that it gets right', async () => {
    expect((await evaluated(8, 140)).masking).toMatchObject({ samples: 8 });
  });

  test.each([0, 7])('leave too few (%i): masking is not assessed, and that is said', async (right) => {
    const { masking, flags } = await evaluated(right);
    expect(masking).toBe('not assessed');
    expect(flags.map(({ message }) => message)).toEqual([
      'masked gradients were not looked for: that takes 8 correctly classified samples and a radius above 0',
    ]);
  });
});

describe('planted maskers are caught', () => {
  test.each([
    {
      what: 'a layer without gradient',
      target: changed('cut', (parameters, images) => network(parameters, stopGradient(images))),
      by: ['zero-gradients', 'transfer-beats-white-box', 'unbounded-attack-fails'],
    },
    {
      what: 'an input in steps',
      target: changed('quantised', (parameters, images) =>
        network(parameters, tf.div(tf.round(tf.mul(images, tf.scalar(31))), tf.scalar(31))),
      ),
      by: ['zero-gradients', 'black-box-beats-white-box'],
    },
    {
      what: 'gradients that are not numbers',
      target: changed('not-finite', (parameters, images) =>
        tf.add(network(parameters, images), tf.sum(tf.sqrt(tf.relu(tf.sub(images, tf.scalar(2)))))),
      ),
      by: ['non-finite-gradients', 'transfer-beats-white-box', 'unbounded-attack-fails'],
    },
    {
      what: 'saturated logits',
      target: changed('saturated', (parameters, images) => tf.mul(network(parameters, images), tf.scalar(1e3))),
      by: ['zero-gradients', 'loss-matters'],
    },
  ])('$what', async ({ target, by }) => {
    const { verdict, signals } = await assess(target);
    expect(verdict).toBe('evident');
    const evident = signals.filter((signal) => signal.verdict === 'evident').map(({ name }) => name);
    expect(evident).toEqual(expect.arrayContaining(by));
  });

  test('random scaling at inference is at least suspected, and said', async () => {
    const target = randomised(honest, 'random', 1, (images, random) =>
      tf.mul(images, tf.reshape(tf.add(tf.mul(random, tf.scalar(0.3)), tf.scalar(0.85)), [-1, 1, 1, 1])),
    );
    const { verdict, signals } = await assess(target);
    expect(verdict).not.toBe('no_sign');
    const steady = signals.find(({ name }) => name === 'random-at-inference');
    expect(steady).toMatchObject({
      verdict: 'suspected',
      evidence: 'two looks at the same image differ at 100.0 % of the samples',
    });
  });

  test('random resizing at inference (Xie et al., arXiv 1711.01991) too', async () => {
    // To three columns of its four or left as it is, then padded again: which of them is drawn for each image.
    const target = randomised(honest, 'resizing', 1, (images, random) => {
      const shrunk = tf.image.resizeBilinear(images as tf.Tensor4D, [1, 3]);
      const padded = tf.pad(shrunk, [
        [0, 0],
        [0, 0],
        [0, 1],
        [0, 0],
      ]);
      const isShrunk = tf.reshape(tf.cast(tf.less(random, tf.scalar(0.5)), 'float32'), [-1, 1, 1, 1]);
      return tf.add(images, tf.mul(isShrunk, tf.sub(padded, images)));
    });
    const { verdict, signals } = await assess(target);
    expect(verdict).not.toBe('no_sign');
    expect(signals.find(({ name }) => name === 'random-at-inference')?.verdict).toBe('suspected');
  });
});
