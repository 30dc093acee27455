import { l2, linf, type NormName } from '@jsigr/attacks';
import { stopGradient } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

/** How a derivative along a direction is measured: over a step of this length, in units of the images, forwards or both ways. */
export interface Difference {
  readonly step: number;
  readonly scheme: 'one-sided' | 'central';
}

/**
 * The slope `[batch]` of a function of the images along a direction, by a finite difference: (v(x + h d) - v(x)) / h, or
 * (v(x + h d) - v(x - h d)) / 2h. Only first derivatives are needed to train on it (Finlay and Oberman, arXiv 1905.11468, equation 11).
 * @param here v(x), from the forward pass that is there anyway
 * @param direction shaped like the images; a constant
 */
export function slopeAlong(
  valueAt: (images: Tensor) => Tensor,
  here: Tensor,
  { images, direction }: { readonly images: Tensor; readonly direction: Tensor },
  { step, scheme }: Difference,
): Tensor {
  const move = tf.mul(stopGradient(direction), step);
  const ahead = valueAt(tf.add(images, move));
  return scheme === 'central'
    ? tf.mul(tf.sub(ahead, valueAt(tf.sub(images, move))), 1 / (2 * step))
    : tf.mul(tf.sub(ahead, here), 1 / step);
}

/**
 * The direction along which the slope is the gradient's dual norm, for attacks of this norm: the unit gradient for l2, and for linf
 * sign(gradient) / sqrt(N), whose slope is the sum of absolute values over the root of their number.
 */
export function dualDirection(norm: NormName, gradient: Tensor): Tensor {
  if (norm === 'l2') return l2.normalize(gradient);
  return tf.mul(linf.normalize(gradient), 1 / Math.sqrt(gradient.size / (gradient.shape[0] ?? 1)));
}
