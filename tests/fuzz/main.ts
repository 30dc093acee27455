import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { processorName } from '../../bench/peers/machine.ts';
import { allTargets } from './all.ts';
import { fuzzPage } from './page.ts';
import { fuzz, MOST_GROWTH_MIB } from './target.ts';

// npm run fuzz -- --inputs 5000 --seed 1 [--only TEXT] [--at-once N] [--page FILE]
const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '8' },
    page: { type: 'string' },
  },
});
const date = new Date().toISOString();
const crashes: unknown[] = [];
process.on('unhandledRejection', (error) => crashes.push(error));
process.on('uncaughtException', (error) => crashes.push(error));

const start = performance.now();
const resident = () => process.memoryUsage().rss / 2 ** 20;
const { targets, close } = await allTargets();
const before = resident();
let highest = before;
const looking = setInterval(() => {
  highest = Math.max(highest, resident());
}, 250);
const chosen = targets.filter(({ name }) => name.includes(values.only));
const [inputs, seed, atOnce] = [values.inputs, values.seed, values['at-once']].map(Number);
const outcome = await fuzz(chosen, { inputs: inputs ?? 0, seed: seed ?? 1, atOnce: atOnce ?? 1, tell: console.log });
clearInterval(looking);
const after = resident();
const grown = Math.max(highest, after) - before;
await close();

const { findings, slowest } = outcome;
const seconds = (performance.now() - start) / 1000;
for (const { target, error, input } of findings) console.log(`\n${target}\n  ${error}\n  ${input}`);
if (grown > MOST_GROWTH_MIB) console.log(`\nmemory grew by ${Math.round(grown)} MiB, ${MOST_GROWTH_MIB} are allowed`);
for (const crash of crashes) console.log('\nnobody caught', crash);
console.log(
  `\n${outcome.inputs} inputs for ${chosen.length} targets, seed ${seed}: ${findings.length} findings, ${crashes.length} uncaught errors;`,
  `${Math.round(seconds)} s, slowest ${slowest.target} (${Math.round(slowest.slowestMs)} ms),`,
  `memory ${Math.round(before)} -> ${Math.round(after)} MiB, at most ${Math.round(highest)}`,
);
if (values.page)
  writeFileSync(
    values.page,
    fuzzPage({
      ...outcome,
      date,
      commit: execFileSync('git', ['describe', '--always', '--dirty']).toString().trim(),
      processor: processorName(),
      node: process.version,
      seed: seed ?? 1,
      asked: inputs ?? 0,
      seconds,
      crashes: crashes.length,
      memory: { before, highest: Math.max(highest, after), after },
    }),
  );
process.exit(findings.length + crashes.length > 0 || grown > MOST_GROWTH_MIB ? 1 : 0);
