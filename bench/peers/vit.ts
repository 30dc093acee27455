import { float32, type NdArray, sizeOf, uniform } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

type Named<Value> = Readonly<Record<string, Value>>;

const PATCH = 4;
const WIDTH = 64;
const HEADS = 4;
const DEPTH = 2;
const EPSILON = 1e-5;

/**
 * A small vision transformer (Dosovitskiy et al., arXiv 2010.11929) for comparing derivatives: patches of 4x4, two blocks with the norm before
 * attention and before the perceptron, GELU, and the mean over tokens instead of a class token.
 */
export function vit(parameters: Named<Tensor>, images: Tensor): Tensor {
  const of = (name: string): Tensor => parameters[name] ?? tf.scalar(Number.NaN);
  const linear = (x: Tensor, name: string) => tf.add(rowsTimes(x, of(`${name}.weight`)), of(`${name}.bias`));
  const norm = (x: Tensor, name: string) => tf.add(tf.mul(standardised(x), of(`${name}.scale`)), of(`${name}.offset`));
  const patches = tf.add(
    tf.conv2d(images as Tensor4D, of('patch.weight') as Tensor4D, PATCH, 'valid'),
    of('patch.bias'),
  );
  const [batch = 1, height = 1, width = 1] = patches.shape;
  let tokens: Tensor = tf.add(tf.reshape(patches, [batch, height * width, WIDTH]), of('positions'));
  for (let block = 1; block <= DEPTH; block++) {
    const name = `block${block}`;
    const mixed = attention(linear(norm(tokens, `${name}.norm1`), `${name}.qkv`));
    tokens = tf.add(tokens, linear(mixed, `${name}.projection`));
    const hidden = gelu(linear(norm(tokens, `${name}.norm2`), `${name}.hidden`));
    tokens = tf.add(tokens, linear(hidden, `${name}.output`));
  }
  return linear(tf.mean(norm(tokens, 'norm'), 1), 'logits');
}

/** Multi-head attention of `[batch, tokens, 3 * width]`, which holds queries, keys and values side by side. */
function attention(qkv: Tensor): Tensor {
  const [batch = 1, tokens = 1] = qkv.shape;
  const size = WIDTH / HEADS;
  const heads = (part: number) =>
    tf.transpose(
      tf.reshape(tf.slice(qkv, [0, 0, part * WIDTH], [batch, tokens, WIDTH]), [batch, tokens, HEADS, size]),
      [0, 2, 1, 3],
    );
  const weights = tf.softmax(tf.mul(tf.matMul(heads(0), heads(1), false, true), 1 / Math.sqrt(size)));
  return tf.reshape(tf.transpose(tf.matMul(weights, heads(2)), [0, 2, 1, 3]), [batch, tokens, WIDTH]);
}

function gelu(x: Tensor): Tensor {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
}

function standardised(x: Tensor): Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), EPSILON)));
}

function rowsTimes(x: Tensor, weight: Tensor): Tensor {
  const [inputs = 1, outputs = 1] = weight.shape;
  const product = tf.matMul(tf.reshape(x, [-1, inputs]) as Tensor2D, weight as Tensor2D);
  return tf.reshape(product, [...x.shape.slice(0, -1), outputs]);
}

/** Parameters that are no special case of anything: nothing is zero or one. */
export function vitParameters([height, width, channels]: ImageShape, classes: number, seed: number) {
  const linear = (name: string, inputs: number, outputs: number) => ({
    [`${name}.weight`]: [inputs, outputs],
    [`${name}.bias`]: [outputs],
  });
  const norm = (name: string) => ({ [`${name}.scale`]: [WIDTH], [`${name}.offset`]: [WIDTH] });
  const shapes: Record<string, number[]> = {
    'patch.weight': [PATCH, PATCH, channels, WIDTH],
    'patch.bias': [WIDTH],
    positions: [Math.floor(height / PATCH) * Math.floor(width / PATCH), WIDTH],
    ...norm('norm'),
    ...linear('logits', WIDTH, classes),
  };
  for (let block = 1; block <= DEPTH; block++) {
    const name = `block${block}`;
    Object.assign(shapes, norm(`${name}.norm1`), norm(`${name}.norm2`), linear(`${name}.qkv`, WIDTH, 3 * WIDTH));
    Object.assign(shapes, linear(`${name}.projection`, WIDTH, WIDTH), linear(`${name}.hidden`, WIDTH, 2 * WIDTH));
    Object.assign(shapes, linear(`${name}.output`, 2 * WIDTH, WIDTH));
  }
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]): [string, NdArray] => {
      const range = shape.length === 1 ? 0.1 : Math.sqrt(3 / sizeOf(shape.slice(0, -1)));
      const mean = name.endsWith('.scale') ? 1 : 0;
      const drawn = uniform({ seed, stream: `vit/${name}` }, sizeOf(shape));
      return [
        name,
        float32(
          drawn.map((u) => mean + (2 * u - 1) * range),
          shape,
        ),
      ];
    }),
  );
}
