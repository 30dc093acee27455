import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stopGradient } from '../autodiff.ts';
import { elementwise } from '../onnx/layout.ts';
import type { Gradients, Primitive } from '../operations/operation.ts';
import { operations } from '../operations/table.ts';
import { withOperation } from '../testing.ts';
import { checkSample } from './check-sample.ts';
import { closeEngines, type NamedEngine, openEngines } from './engines.ts';
import type { Finding } from './findings.ts';
import { checkRandomGraphs } from './random-graphs.ts';

// A suite that never failed proves nothing: these plant a defect in the row of an operation, and expect it to be reported.

let engines: readonly NamedEngine[];
beforeAll(async () => {
  engines = await openEngines();
});
afterAll(() => closeEngines(engines));

type Gradient = Exclude<Primitive['gradient'], 'zero' | undefined>;

interface Defect {
  readonly kernel: string;
  readonly plant: (row: Primitive) => Partial<Primitive>;
  /** What the checks of the row's own samples must report, and what they cannot see. */
  readonly reports: RegExp;
  readonly silent?: RegExp;
}

const rule = (make: (original: Gradient) => Gradient) => (row: Primitive) => ({
  gradient: make(row.gradient as Gradient),
});

/** TensorFlow.js' tape forgets that an output which a rule computes with depends on the inputs. */
const outputAsConstant = rule(
  (gradient) => (context) => gradient({ ...context, output: stopGradient(context.output) }),
);
const doubled = rule((gradient) => (context) => gradient({ ...context, dy: tf.mul(context.dy, 2) }));

const defects: Readonly<Record<string, Defect>> = {
  'a wrong rule': {
    kernel: 'Tanh',
    plant: rule(() => ({ dy, output }) => [() => tf.mul(dy, tf.sub(1, output))]),
    reports: /gradient by differences/,
    silent: /value|gradient of \w+ on/,
  },
  'a rule with a lost factor': { kernel: 'Mean', plant: doubled, reports: /gradient by differences/ },
  'a rule for one operand only': {
    kernel: 'BatchMatMul',
    plant: rule((gradient) => (context) => [gradient(context)[0]] as Gradients),
    reports: /gradient by differences/,
  },
  'the second-order term of tanh dropped': {
    kernel: 'Tanh',
    plant: outputAsConstant,
    reports: /curvature by differences/,
    silent: /value on|gradient/,
  },
  'the second-order term of softmax dropped': {
    kernel: 'Softmax',
    plant: outputAsConstant,
    reports: /curvature by differences/,
    silent: /value on|gradient/,
  },
  'the second-order term of sigmoid dropped': {
    kernel: 'Sigmoid',
    plant: outputAsConstant,
    reports: /curvature by differences/,
    silent: /value on|gradient/,
  },
  'operands swapped in a lowering': {
    kernel: 'Sub',
    plant: () => ({ lower: (graph, inputs) => elementwise(graph, 'Sub', inputs.toReversed()) }),
    reports: /value on onnx/,
  },
  'a lowering that is wrong at special points only': {
    kernel: 'Sign',
    plant: () => ({
      lower: (graph, [x], node) => {
        const size = elementwise(graph, 'Abs', x ? [x] : []);
        return elementwise(graph, 'Div', x ? [x, size] : [], { dtype: node.dtype });
      },
    }),
    reports: /value at zero on onnx/,
    silent: /value on/,
  },
  'a lowering that is wrong in one layout of one engine only': {
    kernel: 'AvgPool',
    plant: (row) => ({
      lower: (graph, inputs, node) =>
        graph.block === 1 && inputs[0]?.layout === 'blocked'
          ? (operations.get('MaxPool') as Primitive).lower(graph, inputs, node)
          : row.lower(graph, inputs, node),
    }),
    reports: /AvgPool 2: value on onnx, block 1/,
    silent: /value on onnx:|AvgPool [013]/,
  },
};

async function checkRow(kernel: string): Promise<Finding[]> {
  const samples = operations.get(kernel)?.samples ?? [];
  const findings: Finding[] = [];
  for (const [i, sample] of samples.entries()) findings.push(...(await checkSample(`${kernel} ${i}`, sample, engines)));
  return findings;
}

const problems = (findings: readonly Finding[]) =>
  findings.flatMap(({ check, problem }) => (problem ? [`${check}: ${problem}`] : []));

describe.each(Object.entries(defects))('%s', (_, { kernel, plant, reports, silent }) => {
  const row = operations.get(kernel) as Primitive;
  test(`is reported by the samples of ${kernel}`, async () => {
    expect(problems(await checkRow(kernel))).toEqual([]);
    const found = await withOperation(kernel, { ...row, ...plant(row) }, () => checkRow(kernel));
    expect(problems(found).join('\n')).toMatch(reports);
    if (silent) expect(problems(found).filter((line) => silent.test(line) && !reports.test(line))).toEqual([]);
  });
});

// the seed is one of many; what matters is that a small expression is left
test.each([
  'a wrong rule',
  'the second-order term of tanh dropped',
  'operands swapped in a lowering',
  'a lowering that is wrong in one layout of one engine only',
])(
  'random graphs find %s, and shrink to an expression of few steps',
  async (name) => {
    const { kernel, plant } = defects[name] as Defect;
    const row = operations.get(kernel) as Primitive;
    const found = await withOperation(kernel, { ...row, ...plant(row) }, () => checkRandomGraphs(engines, 100, 1));
    const [problem] = problems(found);
    const steps = problem?.split('\n').filter((line) => / = /.test(line)) ?? [];
    expect(steps.length).toBeGreaterThan(0);
    expect(steps.length).toBeLessThanOrEqual(3);
  },
  240_000,
);
