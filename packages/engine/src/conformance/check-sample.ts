import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import type { NdArray } from '../ndarray.ts';
import type { Sample } from '../operations/samples.ts';
import { draw, drawSource } from '../testing.ts';
import { verifyGraph } from '../verify.ts';
import { type Arrays, type Derivatives, derivativesOf, type Feeds, specsOf, specsOfFeeds } from './derivatives.ts';
import { checkByDifferences } from './differences.ts';
import type { NamedEngine } from './engines.ts';
import { attempt, compare, type Finding } from './findings.ts';
import { points, reshaped } from './points.ts';

/** Errors of differences of float32 numbers. */
const DIFFERENCES = 2e-3;

/**
 * Everything that must hold for one sample of an operation: its value is that of TensorFlow.js' plain backend; value, gradient and
 * Hessian-vector product are the same on every engine, at random and at special points; where the function is smooth, the derivatives equal
 * differences of what they derive.
 */
export async function checkSample(label: string, sample: Sample, engines: readonly NamedEngine[]): Promise<Finding[]> {
  const cases = [['', sample] as const, ...reshaped(sample)];
  const findings: Finding[] = [];
  for (const [name, variant] of cases) {
    const title = name ? `${label}, ${name}` : label;
    findings.push(...(await attempt(title, () => checkValues(title, variant, engines, !name))));
    findings.push(...(await attempt(title, () => checkDerivatives(title, variant, engines, !name))));
  }
  return findings;
}

function inputsOf(label: string, { inputs }: Sample): Arrays {
  return Object.fromEntries(inputs.map((source, i) => [`input${i}`, drawSource(`${label}${i}`, source)]));
}

const isFloat = ({ dtype }: NdArray) => dtype === 'float32';

/** The inputs with all floats moved to each of the special points. */
function specialInputs(label: string, arrays: Arrays): readonly (readonly [string, Arrays])[] {
  if (!Object.values(arrays).some(isFloat)) return [];
  return Object.entries(points).map(([point, place]) => {
    const moved = Object.entries(arrays).map(([name, array]) =>
      isFloat(array) ? [name, place(`${label}${name}`, array.shape)] : [name, array],
    );
    return [point, Object.fromEntries(moved)];
  });
}

async function checkValues(
  label: string,
  sample: Sample,
  engines: readonly NamedEngine[],
  atSpecialPoints: boolean,
): Promise<Finding[]> {
  const { call, tolerance = 1e-5 } = sample;
  const arrays = inputsOf(label, sample);
  const names = Object.keys(arrays);
  const value = (inputs: Readonly<Record<string, tf.Tensor>>) =>
    call(...names.map((name) => inputs[name] as tf.Tensor));
  const places = [['', arrays] as const, ...(atSpecialPoints ? specialInputs(label, arrays) : [])];
  const expected = places.map(([, inputs]) => eager(value, inputs));
  const findings: Finding[] = [];
  for (const { name, engine } of engines) {
    const compiled = await engine.compile(value, specsOf(arrays), { name: label });
    verifyGraph(compiled.graph);
    for (const [i, [point, inputs]] of places.entries()) {
      const check = `${label}: value${at(point)} on ${name}`;
      findings.push(compare(check, (await compiled.run(inputs)) as NdArray, expected[i] as NdArray, tolerance));
    }
  }
  return findings;
}

async function checkDerivatives(
  label: string,
  sample: Sample,
  engines: readonly NamedEngine[],
  atSpecialPoints: boolean,
): Promise<Finding[]> {
  const { call, order = 2, tolerance = 1e-5 } = sample;
  const arrays = inputsOf(label, sample);
  const names = Object.keys(arrays);
  const result = eager((inputs) => call(...names.map((name) => inputs[name] as tf.Tensor)), arrays);
  if (order === 0 || !isFloat(result) || !Object.values(arrays).some(isFloat)) return [];

  const places = [['', arrays] as const, ...(atSpecialPoints ? specialInputs(label, arrays) : [])];
  const feeds = places.map(([, inputs]) => feedsOf(label, inputs, result.shape));
  const derivatives = derivativesOf(call, names, order);
  const results: Derivatives<NdArray>[][] = [];
  const findings: Finding[] = [];
  for (const [i, { name, engine }] of engines.entries()) {
    const compiled = await engine.compile(derivatives, specsOfFeeds(feeds[0] as Feeds<NdArray>), { name: label });
    verifyGraph(compiled.graph);
    const run = async (inputs: Feeds<NdArray>) => (await compiled.run(inputs)) as unknown as Derivatives<NdArray>;
    results[i] = await Promise.all(feeds.map(run));
    if (i === 0)
      findings.push(...(await checkByDifferences(`${label}:`, feeds[0] as Feeds<NdArray>, run, DIFFERENCES)));
    else
      for (const [j, [point]] of places.entries())
        findings.push(
          ...agree(
            `${label}:`,
            `${at(point)} on ${name}`,
            results[i]?.[j],
            results[0]?.[j],
            point ? 10 * tolerance : tolerance,
          ),
        );
  }
  return findings;
}

const at = (point: string) => (point ? ` at ${point}` : '');

function feedsOf(label: string, arrays: Arrays, shape: readonly number[]): Feeds<NdArray> {
  const only = (wanted: boolean) => Object.fromEntries(Object.entries(arrays).filter(([, a]) => isFloat(a) === wanted));
  const x = only(true);
  const directions = Object.entries(x).map(([name, array]) => [name, draw(`${label}${name}u`, array.shape)]);
  return { x, fixed: only(false), weights: draw(`${label}weights`, shape), direction: Object.fromEntries(directions) };
}

/** The derivatives of two engines are the same. */
export function agree(
  label: string,
  place: string,
  actual: Derivatives<NdArray> | undefined,
  expected: Derivatives<NdArray> | undefined,
  tolerance: number,
): Finding[] {
  if (!actual || !expected) return [{ check: `${label} derivatives${place}`, problem: 'there are none' }];
  return Object.entries(expected.gradient).flatMap(([name, gradient]) => {
    const curvature = expected.curvature[name];
    const first = `${label} gradient of ${name}${place}`;
    const second = `${label} curvature of ${name}${place}`;
    return [
      compare(first, actual.gradient[name] as NdArray, gradient, tolerance),
      ...(curvature ? [compare(second, actual.curvature[name] as NdArray, curvature, 10 * tolerance)] : []),
    ];
  });
}

/** What TensorFlow.js' plain backend gives. */
function eager(f: (inputs: Readonly<Record<string, tf.Tensor>>) => tf.Tensor, arrays: Arrays): NdArray {
  void tf.setBackend('cpu'); // made at once: there is nothing to wait for
  tf.engine().startScope();
  try {
    const tensors = Object.entries(arrays).map(([name, { data, shape, dtype }]) => [
      name,
      tf.tensor(data, [...shape], dtype),
    ]);
    const result = f(Object.fromEntries(tensors));
    const data = result.dataSync().slice() as NdArray['data'];
    return { shape: result.shape, dtype: result.dtype as NdArray['dtype'], data };
  } finally {
    tf.engine().endScope();
  }
}
