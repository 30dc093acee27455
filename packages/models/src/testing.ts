import { float32, type NdArray, uniform } from '@jsigr/engine';
import { initialParameters, type ModelSpec } from './model-spec.ts';

/** First values with those that are all equal (biases, norms, the scale of a denoising block: zeros and ones) moved by up to 0.2, so that nothing vanishes. */
export function movedParameters(spec: ModelSpec, seed: number): Record<string, NdArray> {
  const moved = Object.entries(initialParameters(spec, seed)).map(([name, { data, shape }]) => {
    const isConstant = data.every((value) => value === data[0]);
    const by = uniform({ seed, stream: `moved/${name}` }, data.length);
    const values = Float32Array.from(data, (value, i) => value + (isConstant ? 0.4 * (by[i] ?? 0) - 0.2 : 0));
    return [name, float32(values, shape)];
  });
  return Object.fromEntries(moved);
}
