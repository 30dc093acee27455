import { crossEntropy, gradientStepOf, linf } from '@jsigr/attacks';
import {
  type BoundOptimizer,
  findObjective,
  findOptimizer,
  initialState,
  traceTechniques,
  trainingStep,
} from '@jsigr/defenses';
import {
  type Compiled,
  constantArrays,
  type Engine,
  float32,
  graphFlops,
  int32,
  type NdArray,
  scalar,
  specsOf,
  type Tree,
} from '@jsigr/engine';
import { forwardOf, statisticNames, trainingForwardOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import { CONSTANTS, type Job, modelOf, type Workload, type WorkloadArrays } from './workloads.ts';

type Arrays = Readonly<Record<string, NdArray>>;

/** One compiled job with its state. */
export interface RunningJob {
  readonly flops: number;
  /** Of the traced graph. */
  readonly nodes: number;
  /** Steps; what they give finds the number by which peers are compared: the loss before the last step, or the mean size of the logits after it. */
  steps(count: number): Promise<() => number | Promise<number>>;
  release(): Promise<void>;
}

type Start = (engine: Engine, workload: Workload, arrays: WorkloadArrays) => Promise<RunningJob>;

export const OUR_JOBS: Readonly<Record<Job, Start>> = {
  async forward(engine, workload, arrays) {
    const { compiled, run } = await compileForward(engine, workload, arrays);
    return running(compiled, async (count) => {
      let logits: NdArray | undefined;
      for (let step = 0; step < count; step++) logits = await run(arrays.images);
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
      parameters: constantArrays({ ...parameters, ...statistics }),
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
    return running(compiled, async (count) => {
      for (let step = 0; step < count; step++)
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
  const inputs = { parameters: constantArrays({ ...parameters, ...statistics }), images };
  const compiled = await engine.compile(traced, specsOf(inputs), { name: 'forward' });
  const run = async (of: NdArray) => ((await compiled.run({ ...inputs, images: of })) as Arrays).logits;
  return { compiled, run };
}

/** Steps that training makes in one turn of the engine, as `train` of @jsigr/defenses does with steps of 10 ms. */
const TURN = 10;

/** The step that `train` of @jsigr/defenses compiles, on one batch again and again; like all the others it brings its batch with it. */
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
  return running(compiled, async (count) => {
    let terms: Arrays = {};
    for (let left = count; left > 0; ) {
      const size = Math.min(left, TURN);
      const each = Array.from({ length: size }, () => ({ ...fixed, scalars: scalarsOf(optimizer, ++done) }));
      const scanned = await compiled.scan({ carried: state, each });
      state = scanned.carried as typeof state;
      terms = (scanned.each.at(-1) as unknown as { terms: Arrays }).terms;
      left -= size;
    }
    return () => Object.values(terms).reduce((sum, { data }) => sum + (data[0] ?? Number.NaN), 0);
  });
}

function scalarsOf(optimizer: BoundOptimizer, step: number): Arrays {
  const values = { ramp: 1, ...optimizer.scalars(optimizer.learningRate, step) };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, scalar(value)]));
}

function running(compiled: Compiled, steps: RunningJob['steps']): RunningJob {
  return {
    flops: graphFlops(compiled.graph),
    nodes: compiled.graph.nodes.length,
    steps,
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
