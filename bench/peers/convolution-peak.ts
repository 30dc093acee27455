import { type Engine, float32, graphFlops, type NdArray, normal, sizeOf } from '@jsigr/engine';
import { specsOf } from '@jsigr/models';
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { RunningJob } from './our-jobs.ts';

const IMAGES = [32, 16, 16, 64];
const FILTER = [3, 3, 64, 64];
/** So many in a row that entering and leaving the convolutions' layout does not count. */
const LENGTH = 10;

/** The practical peak: 3x3 convolutions of 64 to 64 channels, one after the other, the fastest work that a network's step could consist of. */
export async function convolutionPeak(engine: Engine): Promise<RunningJob> {
  const chain = ({ images, filter }: { images: Tensor; filter: Tensor }) => {
    let x = images;
    for (let i = 0; i < LENGTH; i++) x = tf.conv2d(x as Tensor4D, filter as Tensor4D, 1, 'same');
    return { x };
  };
  // Filters of this size keep the numbers' magnitude over the chain.
  const inputs = { images: drawn(IMAGES, 1), filter: drawn(FILTER, 1 / Math.sqrt(sizeOf(FILTER.slice(0, -1)))) };
  const compiled = await engine.compile(chain, specsOf(inputs) as never, { name: 'peak' });
  const step = async () => {
    const { x } = (await compiled.run(inputs as never)) as { x: NdArray };
    return () => Math.abs(x.data[0] ?? Number.NaN);
  };
  return {
    flops: graphFlops(compiled.graph),
    nodes: compiled.graph.nodes.length,
    step,
    release: () => compiled.release(),
  };
}

function drawn(shape: readonly number[], scale: number): NdArray {
  return float32(
    normal({ seed: 1, stream: `peak/${shape.join('x')}` }, sizeOf(shape)).map((value) => value * scale),
    shape,
  );
}
