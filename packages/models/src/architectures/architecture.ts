import type { Tensor } from '@tensorflow/tfjs-core';
import type { ImageShape } from '../classifier.ts';
import type { Layers } from '../layers.ts';
import type { NormKind } from '../norm-layers.ts';
import type { ParameterShapes } from '../parameter-shape.ts';

/** A network as data: what parameters it has and one pure function from normalised images to logits. One file, one line of the registry. */
export interface Architecture {
  readonly name: string;
  readonly summary: string;
  /** The normalisation layers that it can be built with, its default first. */
  readonly norms: readonly [NormKind, ...NormKind[]];
  parameters(input: ImageShape, classes: number, norm: NormKind): ParameterShapes;
  /** Logits `[batch, classes]` of normalised images `[batch, height, width, channels]`. */
  forward(layers: Layers, images: Tensor): Tensor;
}
