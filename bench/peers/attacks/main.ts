// `npm run bench:attacks -- --python PATH --data DIRECTORY [options]`: our attacks beside torchattacks, foolbox and ART.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEngine } from '@jsigr/engine';
import { CommandLine } from '../../command-line.ts';
import { grantedThreads } from '../fresh.ts';
import { processorName } from '../machine.ts';
import { ATTACKS, BENCH_DEVICES, MODELS, TASKS, TOOLS } from './cases.ts';
import { trainedModel } from './models.ts';
import { PAGE_SEED, readResults } from './results.ts';
import { runCase } from './run.ts';
import { attacksPage } from './table.ts';

const names = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name);

const USAGE = `npm run bench:attacks -- [run | train | table] [options]
  run (default)      attacks with every tool and writes a table; started again, it goes on where it was
  train              only trains the models that are not there yet
  table              only makes the table again from the raw files
  --python PATH      a Python with torch, torchattacks, foolbox, adversarial-robustness-toolbox, numpy and safetensors; without it only ours runs
  --data DIRECTORY   the folder with mnist/ (IDX files) and cifar10/ (binary batches)
  --folder FOLDER    models and inputs (default .jsigr/attacks)
  --results FOLDER   the raw results, a file each (default FOLDER/results; those of the page are in docs/results/attacks-beside-peers)
  --train            train models that are not there
  --models LIST      of ${names(MODELS).join(',')} (default: all)
  --attacks LIST     of ${names(ATTACKS).join(',')} (default: all)
  --tools LIST       of ${TOOLS.join(',')} (default: all)
  --samples N        test images at most (default: 1000, or 200 for the dear attacks)
  --batch-size N     images a batch, for everyone (default 64, as in our evaluations)
  --threads N        for everyone (default: the cores of this process)
  --device DEVICE    cpu (default) or cuda, for everyone: on cuda it is soon seen who breaks more; seconds and memory are compared on cpu alone
  --seed N           of the random draws (default ${PAGE_SEED}, that of the page): how far a result is chance
  --page FILE        writes the table there too`;

const line: CommandLine = new CommandLine(USAGE);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string' },
    data: { type: 'string' },
    folder: { type: 'string', default: '.jsigr/attacks' },
    results: { type: 'string' },
    train: { type: 'boolean', default: false },
    models: { type: 'string', default: names(MODELS).join() },
    attacks: { type: 'string', default: names(ATTACKS).join() },
    tools: { type: 'string', default: TOOLS.join() },
    samples: { type: 'string', default: '10000' },
    'batch-size': { type: 'string', default: '64' },
    threads: { type: 'string', default: String(grantedThreads()) },
    device: { type: 'string', default: 'cpu' },
    seed: { type: 'string', default: String(PAGE_SEED) },
    page: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

// Ends by `exit`, so that the worker is ended too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { folder, results = join(folder, 'results') } = values;
const [command = 'run'] = positionals;
const commands: Readonly<Record<string, () => Promise<void>>> = { run, train, table };
if (values.help) console.log(USAGE);
else if (commands[command]) await commands[command]();
else line.refuse(`there is no command "${command}"`);

async function train(): Promise<void> {
  const engine = await createEngine({ threads: threads(), device: deviceAsked() });
  for (const model of chosen('models', MODELS))
    await trainedModel(engine, model, { folder, data: dataDirectory(), train: true });
  await engine.dispose();
}

async function run(): Promise<void> {
  const { python } = values;
  if (python !== undefined && !existsSync(python)) line.refuse(`--python ${python}: there is no such file`);
  const wanted = line.listOf('--tools', values.tools, TOOLS);
  const tools = python === undefined ? wanted.filter((tool) => tool === 'ours') : wanted;
  const attacks = chosen('attacks', ATTACKS);
  const samples = line.integerOf('samples', values.samples, 1, 10_000);
  const data = dataDirectory();
  const setup = {
    folder,
    results,
    python: python ?? '',
    threads: threads(),
    batchSize: line.integerOf('batch-size', values['batch-size'], 1, 1000),
    device: deviceAsked(),
    seed: line.integerOf('seed', values.seed, 0, 2 ** 32 - 1),
    processor: processorName(),
  };
  // Judges and input files are the processor's, whatever attacks.
  const engine = await createEngine({ threads: setup.threads, device: 'cpu' });
  for (const model of chosen('models', MODELS)) {
    const trained = await trainedModel(engine, model, { folder, data, train: values.train });
    for (const attack of attacks)
      for (const epsilon of TASKS[model.network]?.epsilons ?? [])
        for (const tool of attack.tools.filter((each) => tools.includes(each)))
          await runCase(engine, setup, {
            model,
            trained,
            attack: attack.name,
            tool,
            epsilon,
            samples: Math.min(samples, attack.samples),
          });
  }
  await engine.dispose();
  await table();
}

async function table(): Promise<void> {
  const page = attacksPage(readResults(results));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'table.md'), page);
  if (values.page) writeFileSync(values.page, page);
  console.log(page);
}

function deviceAsked() {
  const [device = 'cpu'] = line.listOf('--device', values.device, BENCH_DEVICES);
  return device;
}

function threads(): number {
  return line.integerOf('threads', values.threads, 1, 64);
}

function dataDirectory(): string {
  const { data } = values;
  if (data === undefined || !existsSync(data))
    line.refuse(`--data ${data ?? 'is missing'}: a folder with mnist/ and cifar10/`);
  return data;
}

function chosen<Item extends { readonly name: string }>(option: 'models' | 'attacks', all: readonly Item[]): Item[] {
  const wanted = line.listOf(`--${option}`, values[option], names(all));
  return all.filter(({ name }) => wanted.includes(name));
}
