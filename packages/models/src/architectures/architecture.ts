import type { Tensor } from '@tensorflow/tfjs-core';
import type { ImageShape } from '../classifier.ts';
import type { Layers } from '../layers.ts';
import type { NormKind } from '../norm-layers.ts';
import type { ParameterShapes } from '../parameter-shape.ts';

export interface BuildOptions {
  readonly norm: NormKind;
  readonly denoise: boolean;
}

/** A network as data: what parameters it has and one pure function from normalised images to logits. One file, one line of the registry. */
export interface Architecture {
  readonly name: string;
  readonly summary: string;
  /** The normalisation layers that it can be built with, its default first. */
  readonly norms: readonly [NormKind, ...NormKind[]];
  /** Whether feature-denoising blocks can be switched on. */
  readonly hasDenoising: boolean;
  parameters(input: ImageShape, classes: number, options: BuildOptions): ParameterShapes;
  /** Logits `[batch, classes]` of normalised images `[batch, height, width, channels]`. */
  forward(layers: Layers, images: Tensor): Tensor;
}
