import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import fc from 'fast-check';
import type { NdArray } from '../ndarray.ts';
import { draw } from '../testing.ts';
import { verifyGraph } from '../verify.ts';
import { agree } from './check-sample.ts';
import { type Derivatives, derivativesOf, type Feeds, specsOfFeeds } from './derivatives.ts';
import { checkByDifferences } from './differences.ts';
import type { NamedEngine } from './engines.ts';
import { type Expression, evaluate, inputShapes } from './expressions.ts';
import { attempt, compare, type Finding } from './findings.ts';

const MOST_STEPS = 8;
const TOLERANCE = 1e-4;
const DIFFERENCES = 5e-3;

const expressions: fc.Arbitrary<Expression> = fc.record({
  numbers: fc.nat(999),
  inputs: fc.array(fc.nat(inputShapes.length - 1), { minLength: 1, maxLength: 3 }),
  steps: fc.array(fc.record({ step: fc.nat(9999), a: fc.nat(11), b: fc.nat(11) }), {
    minLength: 1,
    maxLength: MOST_STEPS,
  }),
});

/**
 * Compares the engines on random expressions: value, gradient and Hessian-vector product, and both derivatives with differences where the
 * expression is smooth. Stops at the first one that fails, and shrinks it to a small one.
 */
export async function checkRandomGraphs(
  engines: readonly NamedEngine[],
  count: number,
  seed: number,
): Promise<Finding[]> {
  const property = fc.asyncProperty(expressions, async (expression) => {
    const failed = (await checkExpression(expression, engines)).filter(({ problem }) => problem);
    if (failed.length > 0) throw new Error(failed.map(({ check, problem }) => `${check}: ${problem}`).join('; '));
  });
  const { failed, numRuns, counterexample, errorInstance } = await fc.check(property, { numRuns: count, seed });
  const passed = Array.from({ length: failed ? numRuns - 1 : numRuns }, (_, i) => ({ check: `random graph ${i}` }));
  if (!failed) return passed;
  const { text } = describeExpression((counterexample as [Expression])[0]);
  const message = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  return [
    ...passed,
    { check: `random graph ${passed.length} (seed ${seed})`, problem: [message, ...text].join('\n    ') },
  ];
}

/** All checks of one expression. */
export async function checkExpression(
  expression: Expression,
  engines: readonly NamedEngine[],
): Promise<readonly Finding[]> {
  return attempt('expression', async () => {
    const { size, isSmooth } = describeExpression(expression);
    const names = expression.inputs.map((_, i) => `v${i}`);
    const feeds = feedsOf(expression, size);
    const derivatives = derivativesOf((...inputs) => evaluate(expression, inputs).result, names, 2);
    const findings: Finding[] = [];
    let first: Derivatives<NdArray> | undefined;
    for (const { name, engine } of engines) {
      const compiled = await engine.compile(derivatives, specsOfFeeds(feeds), { name: 'expression' });
      verifyGraph(compiled.graph);
      const run = async (inputs: Feeds<NdArray>) => (await compiled.run(inputs)) as unknown as Derivatives<NdArray>;
      const result = await run(feeds);
      if (first)
        findings.push(
          compare(`value on ${name}`, result.value, first.value, TOLERANCE, 1),
          ...agree('', ` on ${name}`, result, first, TOLERANCE),
        );
      else if (isSmooth) findings.push(...(await checkByDifferences('', feeds, run, DIFFERENCES)));
      first ??= result;
      await compiled.release();
    }
    return findings;
  });
}

function feedsOf({ inputs, numbers }: Expression, size: number): Feeds<NdArray> {
  const arrays = (suffix: string) =>
    Object.fromEntries(
      inputs.map((shape, i) => [`v${i}`, draw(`v${i}${suffix} ${numbers}`, inputShapes[shape] ?? [])]),
    );
  return { x: arrays(''), fixed: {}, weights: draw(`weights ${numbers}`, [size]), direction: arrays(' direction') };
}

/** Runs the expression eagerly, to see what it is. */
function describeExpression(expression: Expression): { size: number; isSmooth: boolean; text: readonly string[] } {
  void tf.setBackend('cpu');
  tf.engine().startScope();
  try {
    const inputs = expression.inputs.map((shape) => tf.zeros([...(inputShapes[shape] ?? [])]));
    const { result, isSmooth, text } = evaluate(expression, inputs);
    return { size: result.size, isSmooth, text };
  } finally {
    tf.engine().endScope();
  }
}
