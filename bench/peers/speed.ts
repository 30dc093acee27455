import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSafetensors } from '@jsigr/engine';
import { flatArrays } from './flat-arrays.ts';
import { between, readMachine, type Span } from './machine.ts';
import { type Command, PEERS, Worker, type WorkerOptions } from './protocol.ts';
import { CONSTANTS, type Job, type Workload, workloadArrays, workloadName } from './workloads.ts';

export interface SpeedOptions extends WorkerOptions {
  readonly peers: readonly string[];
  readonly jobs: readonly Job[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** How long a sample should take. */
  readonly sampleSeconds: number;
  /** A sample during which others used more cores than this is disturbed. */
  readonly mostOtherCores: number;
  readonly onProgress: (line: string) => void;
}

export interface Sample extends Span {
  /** Milliseconds of one step. */
  readonly milliseconds: number;
}

/** All samples of one job by one peer (and one of its variants). */
export interface Series {
  readonly workload: string;
  readonly job: Job | 'peak';
  readonly peer: string;
  readonly variant: string;
  readonly results: readonly number[];
  readonly compileSeconds: number;
  readonly flops: number | undefined;
  readonly samples: Sample[];
}

export interface SpeedRun {
  readonly versions: Readonly<Record<string, string>>;
  readonly series: readonly Series[];
}

interface Prepared {
  readonly worker: Worker;
  readonly key: string;
  readonly series: Series;
  readonly steps: number;
}

export interface Agreement {
  readonly first: number;
  readonly later: number;
}

/**
 * Largest relative difference between peers of the first result, and of later ones: Adam's first steps are hardly longer for large gradients than
 * for those that are all rounding. The batches for a GPU are larger, and TF32 rounds factors to 10 bits.
 */
const AGREEMENT = {
  cpu: { first: 1e-4, later: 5e-3 },
  cuda: { first: 1e-4, later: 2e-2 },
  rounded: { first: 5e-3, later: 5e-2 },
} as const;

/**
 * Times every job on every peer, workload by workload: all peers are prepared, the results of their first steps are compared, and then samples of
 * all of them are taken round by round, in a random order.
 * @throws Error if peers do not compute the same, or a worker fails
 */
export async function measureSpeed(options: SpeedOptions): Promise<SpeedRun> {
  const { peers, workloads, onProgress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-bench-'));
  const workers: Worker[] = [];
  try {
    for (const kind of PEERS.filter(({ name }) => peers.includes(name))) {
      const worker = await Worker.start(kind, options);
      workers.push(worker);
      onProgress(`${kind.name}: ${worker.versions}`);
    }
    const series: Series[] = [];
    for (const workload of workloads) series.push(...(await measureWorkload(workload, workers, folder, options)));
    return { versions: Object.fromEntries(workers.map(({ kind, versions }) => [kind.name, versions])), series };
  } finally {
    for (const worker of workers) worker.stop();
    rmSync(folder, { recursive: true });
  }
}

async function measureWorkload(
  workload: Workload,
  workers: readonly Worker[],
  folder: string,
  options: SpeedOptions,
): Promise<Series[]> {
  const file = join(folder, `${workload.network}.${workload.batch}.safetensors`);
  writeFileSync(file, writeSafetensors(flatArrays(workloadArrays(workload))));
  const prepared: Prepared[] = [];
  for (const worker of workers)
    for (const job of worker.kind.isPython ? options.jobs : ([...options.jobs, 'peak'] as const))
      for (const variant of worker.variants) {
        prepared.push(await prepare({ workload, job, variant, file }, worker, options));
        options.onProgress(`prepared ${prepared.at(-1)?.key}`);
      }
  const all = prepared.map(({ series }) => series);
  for (const job of options.jobs)
    checkAgreement(
      all.filter((each) => each.job === job),
      AGREEMENT[options.isRounded ? 'rounded' : options.device],
    );
  const pids = [process.pid, ...workers.map(({ pid }) => pid)];
  for (let round = 1; round <= options.rounds; round++) {
    for (const { worker, key, steps, series } of shuffled(prepared)) {
      const before = readMachine(pids);
      await worker.ask({ do: 'run', key, steps });
      const span = between(before, readMachine(pids));
      series.samples.push({ ...span, milliseconds: (1000 * span.seconds) / steps });
    }
    options.onProgress(`${workloadName(workload)}: round ${round} of ${options.rounds}`);
  }
  for (const worker of workers) await worker.ask({ do: 'release' });
  return all;
}

async function prepare(
  given: Pick<Command & { do: 'prepare' }, 'workload' | 'job' | 'variant' | 'file'>,
  worker: Worker,
  { sampleSeconds }: SpeedOptions,
): Promise<Prepared> {
  const { workload, job, variant } = given;
  const key = [workloadName(workload), worker.kind.name, job, variant].filter(Boolean).join(' ');
  const reply = await worker.ask({ do: 'prepare', key, constants: CONSTANTS, ...given });
  // Twice: the first run may still allocate.
  let seconds = 0;
  for (const steps of [1, 2]) {
    const started = performance.now();
    await worker.ask({ do: 'run', key, steps });
    seconds = (performance.now() - started) / 1000 / steps;
  }
  const { results = [], compileSeconds = Number.NaN, flops } = reply;
  return {
    worker,
    key,
    steps: Math.max(1, Math.round(sampleSeconds / seconds)),
    series: {
      workload: workloadName(workload),
      job,
      peer: worker.kind.name,
      variant,
      results,
      compileSeconds,
      flops,
      samples: [],
    },
  };
}

/** @throws Error if the first steps of the peers differ: then they do not do the same work. */
export function checkAgreement(all: readonly Series[], agreement: Agreement = AGREEMENT.cpu): void {
  const [first] = all;
  for (const { peer, variant, workload, job, results } of all)
    results.forEach((result, step) => {
      const expected = first?.results[step] ?? Number.NaN;
      const limit = step === 0 ? agreement.first : agreement.later;
      if (!(Math.abs(result - expected) <= limit * Math.abs(expected)))
        throw new Error(
          `${workload} ${job}, step ${step + 1}: ${peer} ${variant} gives ${result}, ${first?.peer} ${expected}: not the same work`,
        );
    });
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    const [a, b] = [mixed[i], mixed[j]] as [Item, Item];
    mixed[i] = b;
    mixed[j] = a;
  }
  return mixed;
}
