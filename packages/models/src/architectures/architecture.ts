import type { Tensor } from '@tensorflow/tfjs-core';
import type { ImageShape } from '../classifier.ts';
import type { Layers, ParameterShapes } from '../layers.ts';

/** A network as data: what parameters it has and one pure function from normalised images to logits. One file, one line of the registry. */
export interface Architecture {
  readonly name: string;
  readonly summary: string;
  parameters(input: ImageShape, classes: number): ParameterShapes;
  /** Logits `[batch, classes]` of normalised images `[batch, height, width, channels]`. */
  forward(layers: Layers, images: Tensor): Tensor;
}
