// The gradient of one logit by one image, as the explainer's `gradient` method computes it; prints the processor seconds of its process.
import { createEngine, float32, specsOf, type Tree, vjp } from '@jsigr/engine';
import { forwardOf, initialParameters, type ModelSpec } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';

const model: ModelSpec = { architecture: 'resnet8', input: [32, 32, 3], classes: 10 };
const forward = forwardOf(model);
const gradient = (tree: Tree<Tensor>): Tree<Tensor> => {
  const { parameters, images, cotangent } = tree as { parameters: Tree<Tensor>; images: Tensor; cotangent: Tensor };
  return { gradient: vjp((x: Tensor) => forward(parameters, x), images).pullback(cotangent) };
};
const engine = await createEngine();
const inputs = {
  parameters: initialParameters(model, 1),
  images: float32(new Float32Array(3072).fill(0.5), [1, 32, 32, 3]),
  cotangent: float32(
    Float32Array.from({ length: 10 }, (_, i) => Number(i === 3)),
    [1, 10],
  ),
};
const compiled = await engine.compile(gradient, specsOf(inputs));
await compiled.run(inputs);
await engine.dispose();
const { user, system } = process.cpuUsage();
console.log((user + system) / 1e6);
