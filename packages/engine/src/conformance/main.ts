import { parseArgs } from 'node:util';
import { closeEngines, openEngines } from './engines.ts';
import { runSuite } from './suite.ts';

const HELP = `npm run conformance -- [--graphs N] [--seed N]

Compares every operation of the engine (value, first and second derivative) on every engine that is installed with
TensorFlow.js' plain backend, closed forms and finite differences, at random and at special points; then the engines
with each other on random expressions. Closes with "N passed, N failed"; the exit status is 1 if a check failed.

  --graphs N   random expressions, 1 or more (default 200)
  --seed N     of the random expressions, 0 to 2147483647 (default 1)`;

function count(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value >= 2 ** 31)
    throw new RangeError(`--${name} is '${text}'; it must be a whole number from ${least} to 2147483647`);
  return value;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      graphs: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return true;
  }
  const options = { graphs: count('graphs', values.graphs, 1), seed: count('seed', values.seed, 0) };
  const engines = await openEngines();
  for (const { name, engine } of engines) console.log(`${name}: ${JSON.stringify(engine.info)}`);
  let [passed, failed] = [0, 0];
  for await (const findings of runSuite(engines, options))
    for (const { check, problem } of findings) {
      if (problem === undefined) passed++;
      else failed++;
      if (problem !== undefined) console.log(`FAILED ${check}: ${problem}`);
    }
  await closeEngines(engines);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof RangeError || error instanceof TypeError ? error.message : error);
  process.exitCode = 2;
}
