import { constantArrays, type Engine, float32, graphFlops, type NdArray, normal, sizeOf, specsOf } from '@jsigr/engine';
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { RunningJob } from './our-jobs.ts';

/** Enough work for a processor's cores; a GPU needs more. */
const SIZES = {
  cpu: { images: [32, 16, 16, 64], filter: [3, 3, 64, 64] },
  gpu: { images: [128, 32, 32, 128], filter: [3, 3, 128, 128] },
} as const;
/** So many in a row that entering and leaving the convolutions' layout does not count. */
const LENGTH = 10;

/** The practical peak: 3x3 convolutions of 64 to 64 channels (on a GPU 128 to 128), one after the other, the fastest work that a network's step could consist of. */
export async function convolutionPeak(engine: Engine): Promise<RunningJob> {
  const chain = ({ images, filter }: { images: Tensor; filter: Tensor }) => {
    let x = images;
    for (let i = 0; i < LENGTH; i++) x = tf.conv2d(x as Tensor4D, filter as Tensor4D, 1, 'same');
    return { x };
  };
  const { images, filter } = SIZES[engine.info.device === 'cpu' ? 'cpu' : 'gpu'];
  // Filters of this size keep the numbers' magnitude over the chain.
  const inputs = constantArrays({
    images: drawn(images, 1),
    filter: drawn(filter, 1 / Math.sqrt(sizeOf(filter.slice(0, -1)))),
  });
  const compiled = await engine.compile(chain, specsOf(inputs) as never, { name: 'peak' });
  const steps = async (count: number) => {
    let last: NdArray | undefined;
    for (let step = 0; step < count; step++) ({ x: last } = (await compiled.run(inputs as never)) as { x: NdArray });
    return () => Math.abs(last?.data[0] ?? Number.NaN);
  };
  return {
    flops: graphFlops(compiled.graph),
    nodes: compiled.graph.nodes.length,
    steps,
    release: () => compiled.release(),
  };
}

function drawn(shape: readonly number[], scale: number): NdArray {
  return float32(
    normal({ seed: 1, stream: `peak/${shape.join('x')}` }, sizeOf(shape)).map((value) => value * scale),
    shape,
  );
}
