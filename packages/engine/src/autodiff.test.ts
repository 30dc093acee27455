import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { grad, jvp, stopGradient, valueAndGrad, vjp } from './autodiff.ts';
import { createEngine, type Engine } from './engine.ts';
import { float32, int32, type NdArray, scalar, spec, specOf } from './ndarray.ts';
import type { Primitive } from './operations/operation.ts';
import { operations } from './operations/table.ts';
import { axpy, centralDifference, dot, draw, withOperation } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/** f(x) on the engine. */
async function evaluate(f: (x: tf.Tensor) => tf.Tensor, x: NdArray): Promise<number[]> {
  const compiled = await engine.compile((input: tf.Tensor) => f(input), specOf(x));
  const result = await compiled.run(x);
  return Array.from((result as NdArray).data);
}

describe('grad', () => {
  test('nests to any order: x^4 has derivatives 4x^3, 12x^2, 24x, 24, 0', async () => {
    const quartic = (x: tf.Tensor) => tf.mul(tf.square(x), tf.square(x));
    let derivative: (x: tf.Tensor) => tf.Tensor = quartic;
    const values: number[] = [];
    for (let order = 1; order <= 5; order++) {
      derivative = grad(derivative);
      values.push(...(await evaluate(derivative, scalar(2))));
    }
    expect(values).toEqual([32, 48, 48, 24, 0]);
  });

  test('of tanh: the third derivative at 0.5 is (1 - t^2)(6 t^2 - 2) with t = tanh 0.5', async () => {
    const [value] = await evaluate(grad(grad(grad((x) => tf.tanh(x)))), scalar(0.5));
    const t = Math.tanh(0.5);
    expect(value).toBeCloseTo((1 - t * t) * (6 * t * t - 2), 5);
  });

  test('mixed: d/dy (d/dx x y^2) = 2 y', async () => {
    const mixed = (y: tf.Tensor) => grad((x: tf.Tensor) => tf.mul(x, tf.square(y)))(tf.scalar(5));
    expect(await evaluate(grad(mixed), scalar(3))).toEqual([6]);
  });

  test('a variable of an inner gradient is another than that of the outer one', async () => {
    // d/dx (x * d/dy (x + y)) at y = 1 is 1, not 2: the perturbations are not confused
    const f = (x: tf.Tensor) => tf.mul(x, grad((y: tf.Tensor) => tf.add(x, y))(tf.scalar(1)));
    expect(await evaluate(grad(f), scalar(7))).toEqual([1]);
  });

  test('what a function does not depend on has gradient zero', async () => {
    expect(
      await evaluate(
        grad(() => tf.scalar(3)),
        float32([1, 2], [2]),
      ),
    ).toEqual([0, 0]);
    expect(
      await evaluate(
        grad((x) => tf.sum(tf.floor(x))),
        float32([1.5, 2.5], [2]),
      ),
    ).toEqual([0, 0]);
    expect(
      await evaluate(
        grad((x) => tf.sum(tf.cast(tf.cast(x, 'int32'), 'float32'))),
        float32([1.5], [1]),
      ),
    ).toEqual([0]);
  });

  test('flows through gather with repeated indices', async () => {
    const f = (x: tf.Tensor) => tf.sum(tf.mul(tf.gather(x, [2, 0, 2]), tf.tensor1d([1, 10, 100])));
    expect(await evaluate(grad(f), float32([1, 2, 3], [3]))).toEqual([10, 0, 101]);
  });

  test('of a maximum is shared by all that attain it', async () => {
    expect(
      await evaluate(
        grad((x) => tf.max(x)),
        float32([1, 4, 4, 2], [4]),
      ),
    ).toEqual([0, 0.5, 0.5, 0]);
    expect(
      await evaluate(
        grad((x) => tf.sum(tf.maximum(x, 1))),
        float32([0, 1, 2], [3]),
      ),
    ).toEqual([0, 0.5, 1]);
    const pooled = (x: tf.Tensor) => tf.sum(tf.maxPool(tf.reshape(x, [1, 2, 2, 1]) as tf.Tensor4D, 2, 2, 'valid'));
    expect(await evaluate(grad(pooled), float32([3, 1, 3, 0], [4]))).toEqual([0.5, 0, 0.5, 0]);
  });

  test('needs a scalar, and a float', async () => {
    const bad = (x: tf.Tensor) => grad((q: tf.Tensor) => q)(x);
    await expect(engine.compile(bad, spec(3), { name: 'bad' })).rejects.toThrow(
      /a gradient needs a scalar; 'bad' gave float32\[3\]/,
    );
    const whole = (x: tf.Tensor) => grad((q: tf.Tensor) => tf.sum(q))(x);
    await expect(engine.compile(whole, specOf(int32([1], [1])))).rejects.toMatchObject({ reason: 'INVALID_INPUT' });
  });

  test('works only while a function is traced', () => {
    expect(() => grad((x: tf.Tensor) => tf.sum(x))(tf.scalar(1))).toThrow(
      /only inside a function that the engine compiles/,
    );
  });

  test.each([
    ['first', (x: tf.Tensor) => tf.sin(x)],
    ['second', grad((x: tf.Tensor) => tf.square(tf.cos(x)))],
  ])('says which rule is missing, for which order of derivative, and where it belongs: %s', async (order, f) => {
    const withoutRule = { ...(operations.get('Sin') as Primitive), gradient: undefined };
    await withOperation('Sin', withoutRule, async () => {
      const wave = (x: tf.Tensor) => grad((q: tf.Tensor) => tf.sum(f(q)))(x);
      await expect(engine.compile(wave, spec(), { name: 'wave' })).rejects.toMatchObject({
        reason: 'NO_GRADIENT',
        message: `Sin in 'wave' has no rule, which the ${order} derivative needs: it belongs into its row in packages/engine/src/operations/functions.ts`,
      });
    });
  });
});

describe('valueAndGrad', () => {
  test('keeps the form of a tree of parameters', async () => {
    const f = ({ layer, scale }: { layer: { w: tf.Tensor }; scale: tf.Tensor }) =>
      tf.mul(tf.sum(tf.square(layer.w)), scale);
    const compiled = await engine.compile((p: { layer: { w: tf.Tensor }; scale: tf.Tensor }) => valueAndGrad(f, p), {
      layer: { w: spec(2) },
      scale: spec(),
    });
    const { value, gradient } = await compiled.run({ layer: { w: float32([1, 2], [2]) }, scale: scalar(3) });
    expect([...value.data]).toEqual([15]);
    expect([...gradient.layer.w.data]).toEqual([6, 12]);
    expect([...gradient.scale.data]).toEqual([5]);
  });
});

describe('vjp', () => {
  test('multiplies cotangents with one Jacobian', async () => {
    const f = (x: tf.Tensor) => {
      const { value, pullback } = vjp((q: tf.Tensor) => tf.mul(q, tf.tensor1d([2, 3])), x);
      return tf.concat([value, pullback(tf.tensor1d([1, 0])), pullback(tf.tensor1d([0, 10]))]);
    };
    expect(await evaluate(f, float32([1, 1], [2]))).toEqual([2, 3, 2, 0, 0, 30]);
  });

  test('shares the forward pass among all cotangents and derivatives', async () => {
    const net = (x: tf.Tensor, w: tf.Tensor) =>
      tf.conv2d(tf.tanh(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same')), w as tf.Tensor4D, 1, 'same');
    const f = ({ x, w }: { x: tf.Tensor; w: tf.Tensor }) =>
      grad((weights: tf.Tensor) => {
        const { value, pullback } = vjp((q: tf.Tensor) => net(q, weights), x);
        return tf.add(tf.sum(tf.square(pullback(value))), tf.sum(tf.square(pullback(tf.onesLike(value)))));
      })(w);
    const compiled = await engine.compile(f, { x: spec(1, 4, 4, 2), w: spec(3, 3, 2, 2) });
    // one forward pass (2), and the adjoints of the two pullbacks (2, and 1 where the cotangent is constant)
    expect(compiled.graph.nodes.filter(({ kernel }) => kernel === 'Conv2D')).toHaveLength(5);
  });

  test('refuses a cotangent of another shape', async () => {
    const f = (x: tf.Tensor) => vjp((q: tf.Tensor) => tf.sum(q), x).pullback(tf.ones([2]));
    await expect(engine.compile(f, spec(2))).rejects.toThrow(/the cotangent has shape \[2\]/);
  });
});

describe('jvp', () => {
  const net = (x: tf.Tensor) => tf.softmax(tf.mul(tf.tanh(tf.matMul(x, tf.tensor2d([1, -2, 3, 0.5], [2, 2]))), 2));

  test('is the directional derivative, by differences', async () => {
    const [x, direction] = [draw('x', [3, 2]), draw('direction', [3, 2])];
    const at = async (step: number) => float32(await evaluate(net, axpy(x, step, direction)), [3, 2]);
    const expected = await centralDifference(at, 0.01);
    const actual = await evaluate((q) => jvp(net, q, tf.tensor(direction.data, [3, 2])).tangent, x);
    for (const [i, value] of expected.data.entries()) expect(actual[i]).toBeCloseTo(value, 4);
  });

  test('is the transpose of vjp: <u, J v> = <J^T u, v>', async () => {
    const both = ({ x, u, v }: { x: tf.Tensor; u: tf.Tensor; v: tf.Tensor }) => ({
      forward: tf.sum(tf.mul(u, jvp(net, x, v).tangent)),
      reverse: tf.sum(tf.mul(vjp(net, x).pullback(u), v)),
    });
    const compiled = await engine.compile(both, { x: spec(3, 2), u: spec(3, 2), v: spec(3, 2) });
    const { forward, reverse } = await compiled.run({
      x: draw('x', [3, 2]),
      u: draw('u', [3, 2]),
      v: draw('v', [3, 2]),
    });
    expect(Math.abs(reverse.data[0] ?? 0)).toBeGreaterThan(0.01);
    expect(forward.data[0]).toBeCloseTo(reverse.data[0] ?? Number.NaN, 5);
  });

  test('nests: the second directional derivative of x^3 along v is 6 x v^2', async () => {
    const cube = (x: tf.Tensor) => tf.mul(x, tf.square(x));
    const along = (f: (x: tf.Tensor) => tf.Tensor) => (x: tf.Tensor) => jvp(f, x, tf.fill(x.shape, 2)).tangent;
    expect(await evaluate(along(along(cube)), float32([1, 3], [2]))).toEqual([24, 72]);
  });

  test('keeps nothing of the pullback that it came from: two products for the value, two for the tangent', async () => {
    const f = ({ x, w, v }: { x: tf.Tensor; w: tf.Tensor; v: tf.Tensor }) =>
      jvp((q: tf.Tensor) => tf.matMul(tf.sin(tf.matMul(q, w)), w), x, v);
    const compiled = await engine.compile(f, { x: spec(2, 2), w: spec(2, 2), v: spec(2, 2) });
    expect(compiled.graph.nodes.filter(({ kernel }) => kernel === 'BatchMatMul')).toHaveLength(4);
  });

  test('refuses a tangent of another shape', async () => {
    const f = (x: tf.Tensor) => jvp((q: tf.Tensor) => tf.sum(q), x, tf.ones([3])).tangent;
    await expect(engine.compile(f, spec(2))).rejects.toThrow(/the tangent has shape \[3\], the argument \[2\]/);
  });
});

test('stopGradient: a value that counts as constant', async () => {
  const f = (x: tf.Tensor) => tf.mul(x, stopGradient(tf.square(x)));
  expect(await evaluate(f, scalar(3))).toEqual([27]);
  expect(await evaluate(grad(f), scalar(3))).toEqual([9]);
});

// TensorFlow.js' own tape loses the term of the softmax Hessian here (reference: 9 to 28 % of the parameter gradient).
describe('the trap: the gradient of CE + mean |dCE/dx|^2 over the parameters', () => {
  const specs = { x: spec(4, 5), y: spec(4, 3), w: spec(5, 6), u: spec(6, 3) };
  type Inputs = { x: tf.Tensor; y: tf.Tensor; w: tf.Tensor; u: tf.Tensor };
  const losses = {
    logSoftmax: (z: tf.Tensor, y: tf.Tensor) => tf.neg(tf.mean(tf.sum(tf.mul(y, tf.logSoftmax(z)), 1))),
    softmax: (z: tf.Tensor, y: tf.Tensor) => tf.neg(tf.mean(tf.sum(tf.mul(y, tf.log(tf.softmax(z))), 1))),
    logSumExp: (z: tf.Tensor, y: tf.Tensor) => tf.mean(tf.sub(tf.logSumExp(z, 1), tf.sum(tf.mul(y, z), 1))),
    softmaxCrossEntropy: (z: tf.Tensor, y: tf.Tensor) => tf.losses.softmaxCrossEntropy(y, z),
  };
  const activations = {
    tanh: tf.tanh,
    sigmoid: tf.sigmoid,
    elu: tf.elu,
    softplus: tf.softplus,
    exp: tf.exp,
    selu: tf.selu,
  };
  const cases = [
    ...Object.keys(losses).map((loss) => [loss, 'tanh'] as const),
    ...Object.keys(activations).map((activation) => ['logSoftmax', activation] as const),
  ];

  test.each(cases)('%s over %s equals differences', async (loss, activation) => {
    const act = activations[activation as keyof typeof activations] as (x: tf.Tensor) => tf.Tensor;
    const ce = losses[loss as keyof typeof losses];
    const step = ({ x, y, w, u }: Inputs) =>
      valueAndGrad(
        (p: { w: tf.Tensor; u: tf.Tensor }) => {
          const perInput = valueAndGrad((q: tf.Tensor) => ce(tf.matMul(act(tf.matMul(q, p.w)), p.u), y), x);
          return tf.add(perInput.value, tf.mean(tf.sum(tf.square(tf.mul(perInput.gradient, 4)), 1)));
        },
        { w, u },
      );
    const compiled = await engine.compile(step, specs);
    const labels = float32([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0], [4, 3]);
    const at = { x: draw('x', [4, 5]), y: labels, w: draw('w', [5, 6]), u: draw('u', [6, 3]) };
    const { gradient } = await compiled.run(at);
    for (const name of ['w', 'u'] as const) {
      const direction = draw(`direction ${name}`, at[name].shape);
      const moved = async (h: number) => (await compiled.run({ ...at, [name]: axpy(at[name], h, direction) })).value;
      const expected = (await centralDifference(moved, 0.01)).data[0] ?? Number.NaN;
      expect(Math.abs(dot(gradient[name], direction) - expected)).toBeLessThan(2e-3 * Math.abs(expected) + 1e-4);
    }
  });
});

test('the example of the README', async () => {
  const step = ({ x, y, w }: { x: tf.Tensor; y: tf.Tensor; w: tf.Tensor }) =>
    valueAndGrad((weights: tf.Tensor) => {
      const { value: logits, pullback } = vjp((input: tf.Tensor) => tf.matMul(input, weights), x);
      const crossEntropy = tf.neg(tf.sum(tf.mul(y, tf.logSoftmax(logits))));
      return tf.add(crossEntropy, tf.sum(tf.square(pullback(tf.sub(tf.softmax(logits), y)))));
    }, w);
  const compiled = await engine.compile(step, { x: spec(1, 2), y: spec(1, 2), w: spec(2, 2) });
  const { value, gradient } = await compiled.run({
    x: float32([1, 2], [1, 2]),
    y: float32([1, 0], [1, 2]),
    w: float32([1, 0, 0, 1], [2, 2]),
  });
  // by hand: p = softmax(1, 2), r = p - y = (-r2, r2), loss = -log p1 + |r|^2; the three terms of the gradient are those of
  // the cross-entropy, of the weights in the pullback, and of the softmax in its cotangent
  const [p1, p2] = [1 / (1 + Math.E), Math.E / (1 + Math.E)];
  const slope = -p2 - 4 * p2 * p1 * p2;
  const pulled = 2 * p2 * p2;
  const expected = [slope + pulled, -slope - pulled, 2 * slope - pulled, pulled - 2 * slope];
  expect(value.data[0]).toBeCloseTo(-Math.log(p1) + 2 * p2 * p2, 5);
  for (const [i, number] of expected.entries()) expect(gradient.data[i]).toBeCloseTo(number, 5);
});
