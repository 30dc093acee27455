import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CONSTANTS, Job, Workload } from './workloads.ts';

/** One line of JSON to a worker. `key` names a prepared job; `file` holds the workload's arrays for those that cannot make them. */
export type Command =
  | {
      readonly do: 'prepare';
      readonly key: string;
      readonly workload: Workload;
      readonly job: Job | 'peak';
      readonly variant: string;
      readonly file: string;
      readonly constants: typeof CONSTANTS;
    }
  | { readonly do: 'run'; readonly key: string; readonly steps: number }
  | { readonly do: 'release' };

/** One line of JSON from a worker. */
export interface Reply {
  /** The first line, after the start. */
  readonly versions?: string;
  /** Ways to run every job; the faster one counts. */
  readonly variants?: readonly string[];
  /** After `prepare`: what the first steps gave. */
  readonly results?: readonly number[];
  /** Making the function, before its first step; for peers that compile then, with it. */
  readonly compileSeconds?: number;
  readonly flops?: number;
  readonly error?: string;
}

/** A peer as a process that lives as long as the benchmark. */
export interface PeerKind {
  readonly name: string;
  readonly what: string;
  /** `undefined`: our own, run by this Node. */
  readonly script: string;
  readonly isPython: boolean;
}

export const PEERS: readonly PeerKind[] = [
  { name: 'ours', what: 'this engine', script: 'our-worker.ts', isPython: false },
  { name: 'torch', what: 'PyTorch, eager', script: 'worker_torch.py', isPython: true },
  { name: 'tensorflow', what: 'TensorFlow, tf.function', script: 'worker_tensorflow.py', isPython: true },
  { name: 'jax', what: 'JAX, jit', script: 'worker_jax.py', isPython: true },
];

export interface WorkerOptions {
  readonly threads: number;
  /** Only ours and PyTorch know `cuda`. */
  readonly device: 'cpu' | 'cuda';
  /** On a GPU: factors rounded to TF32, for ours and PyTorch alike. */
  readonly isRounded: boolean;
  readonly python: string;
  /** Let OpenMP threads spin while they wait: faster for PyTorch on a quiet machine, ruinous on a busy one. */
  readonly spin: boolean;
}

export class Worker {
  readonly kind: PeerKind;
  versions = '';
  variants: readonly string[] = [];
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(kind: PeerKind, process: ChildProcess, lines: Interface) {
    this.kind = kind;
    this.#process = process;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  static async start(kind: PeerKind, { threads, device, isRounded, python, spin }: WorkerOptions): Promise<Worker> {
    const script = fileURLToPath(new URL(kind.script, import.meta.url));
    const child = spawn(kind.isPython ? python : process.execPath, [script, String(threads), device], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: String(threads),
        // never ACTIVE: a worker that waits for its turn would then take a core from the others
        ...(spin ? {} : { OMP_WAIT_POLICY: 'PASSIVE' }),
        NVIDIA_TF32_OVERRIDE: isRounded ? '1' : '0',
        TF_CPP_MIN_LOG_LEVEL: '3',
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    if (!child.stdout) throw new Error(`${kind.name} has no output`);
    const worker = new Worker(kind, child, createInterface({ input: child.stdout }));
    const { versions = '', variants = [''] } = await worker.#reply();
    worker.versions = versions;
    worker.variants = variants;
    return worker;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  ask(command: Command): Promise<Reply> {
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
    return this.#reply();
  }

  stop(): void {
    this.#process.stdin?.end();
  }

  async #reply(): Promise<Reply> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.kind.name} (${this.kind.script}) ended early; what it wrote is above`);
    const reply = JSON.parse(value) as Reply;
    if (reply.error) throw new Error(`${this.kind.name}: ${reply.error}`);
    return reply;
  }
}
