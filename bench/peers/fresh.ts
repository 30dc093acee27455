import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { median } from '../statistics.ts';

const REPEATS = 5;

/** Cores that this process may use. */
export function grantedThreads(): number {
  return availableParallelism();
}

/** Seconds from a function to a loaded program, each in a fresh process after the engine has been warmed by a tiny function. */
export async function measureCompilation(threads: number): Promise<string> {
  const cases = [
    { network: 'resnet8', job: 'jsigr', limit: 1 },
    { network: 'wrn-16-4', job: 'jsigr', limit: 4 },
  ] as const;
  const rows = cases.map(({ network, job, limit }) => {
    const runs = Array.from({ length: REPEATS }, () =>
      JSON.parse(runNode('fresh-compile.ts', [network, job, String(threads)])),
    ) as { seconds: number; cpuSeconds: number; nodes: number }[];
    const seconds = median(runs.map((run) => run.seconds));
    const cpu = median(runs.map((run) => run.cpuSeconds));
    const verdict = seconds <= limit ? 'held' : 'NOT HELD';
    return `| ${network} ${job}, batch 32 | ${runs[0]?.nodes} | ${seconds.toFixed(2)} (at most ${limit}: ${verdict}) | ${cpu.toFixed(2)} |`;
  });
  return [
    '| step | nodes of the graph | compilation, s (median of 5) | processor seconds |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

/** Wall time of a whole process that computes one input gradient of resnet8, start of the process included. */
export async function measureFirstGradient(python: string | undefined): Promise<string> {
  const ours = timed(() => runNode('fresh-gradient.ts', []));
  const verdict = ours.seconds <= 0.6 ? 'held' : 'NOT HELD';
  return [
    'First gradient of a fresh process (resnet8, one image), median of 5:',
    `ours: ${describeTimes(ours)} (at most 0.6: ${verdict})`,
    python
      ? `PyTorch: ${describeTimes(timed(() => runPython(python, 'fresh_gradient.py')))}`
      : 'PyTorch: needs --python PATH, a Python with torch',
  ].join('\n');
}

/** Resident memory over many steps of one compiled training step. */
export async function measureMemory(steps: number): Promise<string> {
  return runNode('fresh-memory.ts', [String(steps)], ['--expose-gc']);
}

interface Times {
  readonly seconds: number;
  /** What all threads of the process used: a busy machine changes it little. */
  readonly processorSeconds: number;
}

/** Medians for a process that prints how much processor time it used. */
function timed(run: () => string): Times {
  const all = Array.from({ length: REPEATS }, () => {
    const started = performance.now();
    const processorSeconds = Number(run());
    return { seconds: (performance.now() - started) / 1000, processorSeconds };
  });
  return {
    seconds: median(all.map((one) => one.seconds)),
    processorSeconds: median(all.map((one) => one.processorSeconds)),
  };
}

function describeTimes({ seconds, processorSeconds }: Times): string {
  return `${seconds.toFixed(2)} s, ${processorSeconds.toFixed(2)} processor seconds`;
}

function runPython(python: string, script: string): string {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return execFileSync(python, [path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

function runNode(script: string, values: readonly string[], flags: readonly string[] = []): string {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return execFileSync(process.execPath, [...flags, path, ...values], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}
