import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CommandLine } from '../../bench/command-line.ts';
import { processorName } from '../../bench/peers/machine.ts';
import { allTargets } from './all.ts';
import { fuzzPage } from './page.ts';
import { fuzz, MOST_GROWTH_MIB } from './target.ts';

const USAGE = `npm run fuzz -- [options]
  --inputs N     for all targets together (default 5000)
  --seed N       (default 1)
  --only TEXT    targets whose names hold it
  --at-once N    calls at a time (default 8)
  --page FILE    writes what came of it there`;

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '8' },
    page: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const line: CommandLine = new CommandLine(USAGE);
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const inputs = line.integerOf('inputs', values.inputs, 1, 1e9);
const seed = line.integerOf('seed', values.seed, 0, 2 ** 31);
const atOnce = line.integerOf('at-once', values['at-once'], 1, 1000);
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
if (chosen.length === 0) {
  await close();
  line.refuse(`--only is ${values.only}; known: ${targets.map(({ name }) => name).join(', ')}`);
}
const outcome = await fuzz(chosen, { inputs, seed, atOnce, tell: console.log });
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
      seed,
      asked: inputs,
      seconds,
      crashes: crashes.length,
      memory: { before, highest: Math.max(highest, after), after },
    }),
  );
process.exit(findings.length + crashes.length > 0 || grown > MOST_GROWTH_MIB ? 1 : 0);
