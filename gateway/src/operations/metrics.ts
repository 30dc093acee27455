import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { JsonObject, RunStore } from '../store/runs.ts';
import { stateName } from '../store/state-machine.ts';
import type { WorkerPool } from '../workers/pool.ts';
import type { WorkerRegistry } from '../workers/registry.ts';

/** Seconds; explanations and creations are fast, exports are not. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface Measured {
  readonly pool: WorkerPool;
  readonly runs: Pick<RunStore, 'census' | 'training' | 'lastHeard'>;
  /** Explanations that wait or are computed. */
  readonly explanations: () => number;
  readonly registry: Pick<WorkerRegistry, 'gpuMemory'>;
}

/** What Prometheus reads of one gateway. Nothing in it tells tenants apart: whoever may look sees how busy the gateway is, not whose work it is. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #calls: Counter<'face' | 'method' | 'code'>;
  readonly #seconds: Histogram<'face' | 'method'>;
  readonly #open: Gauge<'face' | 'method'>;
  readonly #reconciled: Histogram;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const method = ['face', 'method'] as const;
    this.#calls = new Counter({
      name: 'jsigr_calls_total',
      help: 'Calls that ended',
      labelNames: [...method, 'code'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'jsigr_call_seconds',
      help: 'Time from a call to its answer; of streams to their end',
      labelNames: method,
      buckets: BUCKETS,
      registers,
    });
    this.#open = new Gauge({
      name: 'jsigr_calls_open',
      help: 'Calls that have not ended',
      labelNames: method,
      registers,
    });
    this.#reconciled = new Histogram({
      name: 'jsigr_reconcile_seconds',
      help: 'Time in which a Kubernetes resource was looked at, and what was to be done was done',
      buckets: BUCKETS,
      registers,
    });
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** Numbers that are looked up when somebody asks. */
  watch({ pool, runs, explanations, registry }: Measured): void {
    const registers = [this.#registry];
    const active = new Gauge({
      name: 'jsigr_runs',
      help: 'Runs that are not finished; QUEUED ones wait for a place',
      labelNames: ['kind', 'state'],
      registers,
      async collect() {
        active.reset();
        for (const { kind, state, count } of await runs.census()) active.inc({ kind, state: stateName(state) }, count);
      },
    });
    const speed = new Gauge({
      name: 'jsigr_training_images_per_second',
      help: 'Of every run in training',
      labelNames: ['run'],
      registers,
      async collect() {
        speed.reset();
        for (const { id, summary } of await runs.training()) speed.set({ run: id }, speedOf(summary));
      },
    });
    const silence = new Gauge({
      name: 'jsigr_run_silence_seconds',
      help: 'Of every run that workers are at: since it was last heard of',
      labelNames: ['kind', 'run'],
      registers,
      async collect() {
        silence.reset();
        for (const { kind, id, time } of await runs.lastHeard())
          silence.set({ kind, run: id }, Math.max(0, Date.now() - time.getTime()) / 1000);
      },
    });
    const workers = new Gauge({
      name: 'jsigr_workers',
      help: 'Workers, by whether somebody uses them',
      labelNames: ['kind', 'state'],
      registers,
      collect() {
        workers.reset();
        for (const { kind, users } of pool.list()) workers.inc({ kind, state: users > 0 ? 'busy' : 'idle' });
      },
    });
    const gpu = new Gauge({
      name: 'jsigr_gpu_memory_bytes',
      help: 'Of the GPU that a worker computes on, whoever uses it; absent where there is none, or nothing is known',
      labelNames: ['kind', 'worker', 'state'],
      registers,
      collect() {
        gpu.reset();
        for (const { kind, worker, memory } of registry.gpuMemory()) {
          gpu.set({ kind, worker, state: 'used' }, memory.usedBytes);
          gpu.set({ kind, worker, state: 'total' }, memory.totalBytes);
        }
      },
    });
    new Gauge({
      name: 'jsigr_explanations_open',
      help: 'Explanations that wait or are computed',
      registers,
      collect() {
        this.set(explanations());
      },
    });
  }

  readonly reconciled = (seconds: number): void => this.#reconciled.observe(seconds);

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** A call began; the function that it gives ends it, with the name of a gRPC code. */
  call(face: 'grpc' | 'http', method: string): (code: string) => void {
    const labels = { face, method };
    this.#open.inc(labels);
    const end = this.#seconds.startTimer(labels);
    let open = true;
    return (code) => {
      if (!open) return;
      open = false;
      this.#open.dec(labels);
      end();
      this.#calls.inc({ ...labels, code });
    };
  }

  /** Measures every call of a gRPC server. */
  readonly interceptor: ServerInterceptor = ({ path }, call) => {
    const end = this.call('grpc', path.slice(1));
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: () => end('CANCELLED') }),
      sendStatus(sent, forward) {
        end(status[sent.code] ?? 'UNKNOWN');
        forward(sent);
      },
    });
  };
}

function speedOf({ progress }: JsonObject): number {
  const { imagesPerSecond } = (progress ?? {}) as { imagesPerSecond?: unknown };
  return typeof imagesPerSecond === 'number' ? imagesPerSecond : 0;
}
