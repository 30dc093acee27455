// `npm run bench:engine -- [speed|compile|first|memory] [options]`: the engine against PyTorch, TensorFlow and JAX.
import { existsSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CommandLine } from './command-line.ts';
import { grantedThreads, measureCompilation, measureFirstGradient, measureMemory } from './peers/fresh.ts';
import { processorName } from './peers/machine.ts';
import { PEERS } from './peers/protocol.ts';
import { measureSpeed } from './peers/speed.ts';
import { BOUNDS, speedReport, summarise } from './peers/speed-report.ts';
import { GPU_WORKLOADS, JOBS, type Job, WORKLOADS, workloadName } from './peers/workloads.ts';

const USAGE = `npm run bench:engine -- [speed] [options]
  --python PATH        a Python with torch, tensorflow, jax, numpy and safetensors (those of --peers); without it only our engine is timed
  --peers LIST         of ${PEERS.slice(1)
    .map(({ name }) => name)
    .join(',')} (default: all; on cuda torch, the only one)
  --jobs LIST          of ${JOBS.join(',')} (default: all)
  --device NAME        cpu, or cuda: ours and PyTorch on a GPU, with other workloads (default cpu)
  --tf32               on cuda: let ours and PyTorch round factors to TF32
  --workloads LIST     of ${WORKLOADS.map(workloadName).join(',')} (default: all);
                       on cuda of ${GPU_WORKLOADS.map(workloadName).join(',')}
  --threads N          for every peer (default: the cores of this process)
  --rounds N           samples of each job and peer, in a random order (default 15)
  --sample-seconds S   length of a sample (default 0.6)
  --quiet-limit C      a sample is disturbed if other processes used more than C cores (default 0.1)
  --spin               leave PyTorch's OpenMP threads as they are installed: they spin for some milliseconds after each step. The default,
                       OMP_WAIT_POLICY=PASSIVE, keeps PyTorch from collapsing on a busy machine
  --json FILE          all samples
npm run bench:engine -- compile | first [--python PATH] | memory [--steps N]
  what compiling a step takes; the first gradient of a fresh process; growth over 10000 steps`;

const line: CommandLine = new CommandLine(USAGE);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string' },
    peers: { type: 'string' },
    jobs: { type: 'string', default: JOBS.join() },
    device: { type: 'string', default: 'cpu' },
    tf32: { type: 'boolean', default: false },
    workloads: { type: 'string' },
    threads: { type: 'string', default: String(grantedThreads()) },
    rounds: { type: 'string', default: '15' },
    'sample-seconds': { type: 'string', default: '0.6' },
    'quiet-limit': { type: 'string', default: '0.1' },
    spin: { type: 'boolean', default: false },
    steps: { type: 'string', default: '10000' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const [command = 'speed'] = positionals;
const commands: Readonly<Record<string, () => Promise<void>>> = { speed, compile, first, memory };
if (values.help) console.log(USAGE);
else if (commands[command]) await commands[command]();
else line.refuse(`there is no measurement "${command}"`);

async function speed(): Promise<void> {
  const { python } = values;
  if (python !== undefined && !existsSync(python)) line.refuse(`--python ${python}: there is no such file`);
  if (python === undefined)
    console.log(
      'only our engine: --python PATH brings the peers in (pip install torch tensorflow-cpu "jax[cpu]" numpy safetensors)\n',
    );
  const chosen = line.listOf(
    '--peers',
    values.peers ?? (values.device === 'cuda' ? 'torch' : 'torch,tensorflow,jax'),
    PEERS.slice(1).map(({ name }) => name),
  );
  const quietLimit = line.numberOf('quiet-limit', values['quiet-limit'], 0, 64);
  const jobs = line.listOf('--jobs', values.jobs, JOBS);
  const [device = 'cpu'] = line.listOf('--device', values.device, ['cpu', 'cuda']);
  const known = device === 'cuda' ? GPU_WORKLOADS : WORKLOADS;
  const names = known.map(workloadName);
  const workloads = line.listOf('--workloads', values.workloads ?? names.join(), names);
  const threads = line.numberOf('threads', values.threads, 1, 64);
  const run = await measureSpeed({
    python: python ?? '',
    peers: ['ours', ...(python === undefined ? [] : chosen)],
    jobs: jobs as readonly Job[],
    workloads: known.filter((workload) => workloads.includes(workloadName(workload))),
    threads,
    device: device as 'cpu' | 'cuda',
    isRounded: values.tf32,
    rounds: line.numberOf('rounds', values.rounds, 1, 1000),
    sampleSeconds: line.numberOf('sample-seconds', values['sample-seconds'], 0.05, 60),
    mostOtherCores: quietLimit,
    spin: values.spin,
    onProgress: (line) => console.error(line),
  });
  console.log(
    `${processorName()}; ${device}; ${threads} threads; OMP_WAIT_POLICY ${values.spin ? 'not set' : 'PASSIVE'}`,
  );
  for (const [peer, versions] of Object.entries(run.versions)) console.log(`${peer}: ${versions}`);
  console.log(`\n${speedReport(run, quietLimit, BOUNDS[device as 'cpu' | 'cuda'])}`);
  if (values.json)
    writeFileSync(
      values.json,
      `${JSON.stringify({ processor: processorName(), threads, spin: values.spin, quietLimit, summary: summarise(run.series, quietLimit), ...run }, undefined, 1)}\n`,
    );
}

async function compile(): Promise<void> {
  console.log(await measureCompilation(line.numberOf('threads', values.threads, 1, 64)));
}

async function first(): Promise<void> {
  console.log(await measureFirstGradient(values.python));
}

async function memory(): Promise<void> {
  console.log(await measureMemory(line.numberOf('steps', values.steps, 10, 1e7)));
}
