// `npm run results -- STUDY [DIRECTORY OF THE DATA] [--threads N]`: trains and attacks all models of a study (studies.ts) through a gateway, and
// writes docs/results/STUDY.json and its table, docs/results/STUDY.md. Started again, it goes on where it was: what has ended is not run again.
// Fewer threads for each worker than there are cores: as many models are trained at once as there is room for. `--only LABEL` makes the rows of some models again and keeps
// the others as they are in the file.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { startGateway } from '@jsigr/gateway';
import { StudyClient } from './gateway-client.ts';
import { mergeResults, resultsPage, type StudyResult } from './results-page.ts';
import { studies } from './studies.ts';
import { runStudy, timeEpochs } from './study.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: 'string' }, only: { type: 'string', multiple: true } },
});
const [name = '', directory] = positionals;
const cores = availableParallelism();
const threads = Number(values.threads ?? cores);
const whole = studies[name];
const { only = whole?.models.map(({ label }) => label) ?? [] } = values;
const unknown = only.filter((label) => !whole?.models.some((model) => model.label === label));
if (
  !whole ||
  unknown.length > 0 ||
  (whole.format && !directory) ||
  !Number.isInteger(threads) ||
  threads < 1 ||
  threads > cores
) {
  console.error(`usage: npm run results -- STUDY [DIRECTORY] [--threads 1..${cores}] [--only LABEL ...]`);
  for (const [known, { format }] of Object.entries(studies))
    console.error(`  ${known}${format ? ' DIRECTORY (the folder with its files)' : ''}`);
  for (const label of unknown)
    console.error(`  there is no model "${label}": ${whole?.models.map((model) => model.label).join(', ')}`);
  process.exit(2);
}
const plan = { ...whole, models: whole.models.filter(({ label }) => only.includes(label)) };

const started = performance.now();
const minutes = () => ((performance.now() - started) / 60_000).toFixed(1).padStart(6);
const log = (line: string) => console.log(`${minutes()} min  ${line}`);

async function withGateway<T>(threads: number, use: (client: StudyClient) => Promise<T>): Promise<T> {
  const trainingsAtOnce = Math.max(1, Math.floor(cores / threads));
  const options = { dataDirectory: '.jsigr/results', grpcPort: 0, httpPort: null, threads, trainingsAtOnce };
  const gateway = await startGateway(options);
  const client = new StudyClient(gateway.grpcAddress, log);
  try {
    return await use(client);
  } finally {
    client.close();
    await gateway.close();
  }
}

const figures = await withGateway(threads, async (client) => {
  if (plan.format && directory) await client.importDataset(plan.dataset, plan.format, directory);
  return runStudy(client, name, plan, log);
});
const seconds = await withGateway(cores, (client) => timeEpochs(client, name, plan, figures));
const machine = `${cores} cores, ${cpus()[0]?.model ?? 'unknown processor'}`;
const file = `docs/results/${name}.json`;
const before = values.only && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as StudyResult) : undefined;
const result = mergeResults(whole, before, { machine, seconds, ...figures });
mkdirSync('docs/results', { recursive: true });
writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
const page = resultsPage(name, whole, result);
writeFileSync(`docs/results/${name}.md`, page);
console.log(`\n${page}`);
