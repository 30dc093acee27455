import { findObjective } from '@jsigr/defenses';
import { float32, type NdArray, sizeOf, uniform } from '@jsigr/engine';
import { type ImageShape, initialParameters, type ModelSpec, statisticNames } from '@jsigr/models';

export const JOBS = ['forward', 'train', 'jsigr', 'pgd'] as const;
/**
 * `forward`: logits in evaluation mode. `train`: cross-entropy, its gradient, Adam. `jsigr`: cross-entropy, input-gradient and one-projection Jacobian
 * penalty, exact double backpropagation, Adam. `pgd`: gradient by the images in evaluation mode, signed step, projection.
 */
export type Job = (typeof JOBS)[number];

/** A network on a batch: what every peer is given. */
export interface Workload {
  readonly network: string;
  readonly batch: number;
  readonly input: ImageShape;
}

export const WORKLOADS: readonly Workload[] = [
  { network: 'lenet', batch: 64, input: [28, 28, 1] },
  { network: 'resnet8', batch: 32, input: [32, 32, 3] },
  { network: 'resnet8', batch: 128, input: [32, 32, 3] },
  { network: 'resnet18', batch: 32, input: [32, 32, 3] },
];

/** What a GPU is timed on: enough work for one, and the two small networks, of which launching kernels is most of the time. */
export const GPU_WORKLOADS: readonly Workload[] = [
  { network: 'resnet18', batch: 128, input: [32, 32, 3] },
  { network: 'resnet18', batch: 32, input: [32, 32, 3] },
  { network: 'resnet8', batch: 128, input: [32, 32, 3] },
  { network: 'lenet', batch: 64, input: [28, 28, 1] },
];

export const CLASSES = 10;
/** The numbers that all sides share, under the names that the Python sides read too. */
export const CONSTANTS = {
  jacobianWeight: 0.01,
  gradientWeight: 1,
  learningRate: 0.001,
  epsilon: 0.1,
  stepSize: 0.02,
} as const;
/** Steps whose results are compared before anything is timed. */
export const CHECKED_STEPS = 3;

export function workloadName({ network, batch }: Workload): string {
  return `${network} ${batch}`;
}

export function modelOf({ network, input }: Workload): ModelSpec {
  return { architecture: network, input: [...input], classes: CLASSES };
}

export interface WorkloadArrays {
  readonly parameters: Readonly<Record<string, NdArray>>;
  readonly statistics: Readonly<Record<string, NdArray>>;
  readonly images: NdArray;
  /** One-hot. */
  readonly labels: NdArray;
  readonly projection0: NdArray;
}

/** Weights and one batch, from seeds. */
export function workloadArrays(workload: Workload): WorkloadArrays {
  const { batch, input } = workload;
  const seed = 5;
  const shape = [batch, ...input];
  const labels = new Float32Array(batch * CLASSES);
  for (let row = 0; row < batch; row++) labels[row * CLASSES + ((row * 7) % CLASSES)] = 1;
  const context = { seed, step: 1, batchSize: batch, input, classes: CLASSES, saliency: undefined };
  const { projection0 } = findObjective('jsigr').bind({}).inputs(context);
  if (!projection0) throw new Error('the objective jsigr draws no projection');
  const model = modelOf(workload);
  const statistics = statisticNames(model);
  const all = Object.entries(initialParameters(model, seed));
  return {
    parameters: Object.fromEntries(all.filter(([name]) => !statistics.has(name))),
    statistics: Object.fromEntries(all.filter(([name]) => statistics.has(name))),
    images: float32(uniform({ seed, stream: 'images' }, sizeOf(shape)), shape),
    labels: float32(labels, [batch, CLASSES]),
    projection0,
  };
}
