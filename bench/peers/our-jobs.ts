import { crossEntropy, gradientStepOf, linf } from '@jsigr/attacks';
import {
  type BoundOptimizer,
  findObjective,
  findOptimizer,
  initialState,
  traceTechniques,
  trainingStep,
} from '@jsigr/defenses';
import { type Compiled, type Engine, float32, graphFlops, int32, type NdArray, scalar, type Tree } from '@jsigr/engine';
import { forwardOf, specsOf, statisticNames, trainingForwardOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import { CONSTANTS, type Job, modelOf, type Workload, type WorkloadArrays } from './workloads.ts';

type Arrays = Readonly<Record<string, NdArray>>;

/** One compiled job with its state. */
export interface RunningJob {
  readonly flops: number;
  /** Of the traced graph. */
  readonly nodes: number;
  /** One step; what it gives finds the number by which peers are compared: the loss before the step, or the mean size of the logits after it. */
  step(): Promise<() => number | Promise<number>>;
  release(): Promise<void>;
}

type Start = (engine: Engine, workload: Workload, arrays: WorkloadArrays) => Promise<RunningJob>;

export const OUR_JOBS: Readonly<Record<Job, Start>> = {
  async forward(engine, workload, arrays) {
    const { compiled, run } = await compileForward(engine, workload, arrays);
    return running(compiled, async () => {
      const logits = await run(arrays.images);
      return () => meanSize(logits);
    });
  },
  train: (engine, workload, arrays) => startTraining(engine, workload, arrays, 'standard'),
  jsigr: (engine, workload, arrays) => startTraining(engine, workload, arrays, 'jsigr'),
  async pgd(engine, workload, arrays) {
    const { parameters, statistics, images, labels } = arrays;
    const step = gradientStepOf(forwardOf(modelOf(workload)), linf, crossEntropy);
    const [rows = 0] = images.shape;
    const each = (value: number) => float32(new Float32Array(rows).fill(value), [rows]);
    const classes = classesOf(labels);
    const inputs = {
      parameters: { ...parameters, ...statistics },
      images,
      points: images,
      labels: classes,
      targets: classes,
      epsilon: each(CONSTANTS.epsilon),
      stepSize: each(CONSTANTS.stepSize),
      lower: scalar(0),
      upper: scalar(1),
    };
    const traced = step as unknown as (tree: Tree<Tensor>) => Tree<Tensor>;
    const compiled = await engine.compile(traced, specsOf(inputs), { name: 'pgd' });
    const { run } = await compileForward(engine, workload, arrays);
    let points = images;
    return running(compiled, async () => {
      ({ points = images } = (await compiled.run({ ...inputs, points })) as { points?: NdArray });
      const attacked = points;
      return async () => meanSize(await run(attacked));
    });
  },
};

async function compileForward(engine: Engine, workload: Workload, { parameters, statistics, images }: WorkloadArrays) {
  const forward = forwardOf(modelOf(workload));
  const traced = (tree: Tree<Tensor>): Tree<Tensor> => {
    const given = tree as { parameters: Tree<Tensor>; images: Tensor };
    return { logits: forward(given.parameters, given.images) };
  };
  const inputs = { parameters: { ...parameters, ...statistics }, images };
  const compiled = await engine.compile(traced, specsOf(inputs), { name: 'forward' });
  const run = async (of: NdArray) => ((await compiled.run({ ...inputs, images: of })) as Arrays).logits;
  return { compiled, run };
}

/** The step that `train` of @jsigr/defenses compiles, on one batch again and again. */
async function startTraining(
  engine: Engine,
  workload: Workload,
  { parameters, statistics, images, labels, projection0 }: WorkloadArrays,
  name: 'standard' | 'jsigr',
): Promise<RunningJob> {
  const model = modelOf(workload);
  const { jacobianWeight, gradientWeight, learningRate } = CONSTANTS;
  // without the input `penalised` nothing is masked, as in the peers
  const objective = findObjective(name).bind(
    name === 'jsigr' ? { jacobianWeight, gradientWeight, projections: 1 } : {},
  );
  const optimizer = findOptimizer('adam').bind({ learningRate });
  const names = statisticNames(model);
  const fixed = { images, labels, extra: (name === 'jsigr' ? { projection0 } : {}) as Arrays };
  let state = {
    parameters: { ...parameters, ...statistics } as Arrays,
    optimizer: initialState(optimizer, { ...parameters, ...statistics }, names) as Arrays,
  };
  const network = { forward: trainingForwardOf(model), statistics: names };
  const techniques = traceTechniques({ labelSmoothing: 0, gradientClip: 0 }, undefined);
  const traced = trainingStep(network, objective, optimizer, techniques);
  const specs = specsOf({ ...fixed, ...state, scalars: scalarsOf(optimizer, 1) } as unknown as Tree<NdArray>);
  const compiled = await engine.compile(traced, specs, { name });
  let done = 0;
  return running(compiled, async () => {
    const inputs = { ...fixed, ...state, scalars: scalarsOf(optimizer, ++done) };
    const outputs = (await compiled.run(inputs as unknown as Tree<NdArray>)) as unknown as typeof state & {
      terms: Arrays;
    };
    state = { parameters: outputs.parameters, optimizer: outputs.optimizer };
    return () => Object.values(outputs.terms).reduce((sum, { data }) => sum + (data[0] ?? Number.NaN), 0);
  });
}

function scalarsOf(optimizer: BoundOptimizer, step: number): Arrays {
  const values = { ramp: 1, ...optimizer.scalars(optimizer.learningRate, step) };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, scalar(value)]));
}

function running(compiled: Compiled, step: RunningJob['step']): RunningJob {
  return {
    flops: graphFlops(compiled.graph),
    nodes: compiled.graph.nodes.length,
    step,
    release: () => compiled.release(),
  };
}

function meanSize(array: NdArray | undefined): number {
  const data = array?.data ?? [];
  let sum = 0;
  for (const value of data) sum += Math.abs(value);
  return sum / data.length;
}

function classesOf({ data, shape: [batch = 0, classes = 1] }: NdArray): NdArray {
  return int32(
    Int32Array.from({ length: batch }, (_, row) => data.subarray(row * classes, (row + 1) * classes).indexOf(1)),
    [batch],
  );
}
