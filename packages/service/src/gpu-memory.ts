import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Of the GPU that a worker computes on, whoever uses it. */
export interface GpuMemory {
  readonly usedBytes: number;
  readonly totalBytes: number;
}

export interface GpuMemoryOptions {
  /** Where it computes; nothing is asked where that is the processor. */
  readonly device?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** The driver's own program. */
  readonly program?: string;
  /** Is there where there is a driver: without it nothing is ever started. */
  readonly driver?: string;
  /** How old an answer may be before it is asked for again, in milliseconds. */
  readonly freshMs?: number;
  /** How long the program may take, in milliseconds. */
  readonly timeoutMs?: number;
}

const MIB = 2 ** 20;

/**
 * Says what is known of the GPU's memory, at once; what is old is asked for meanwhile, one question at a time. Undefined where there is no GPU, none that the
 * worker may use, or a driver that does not say (a part of a GPU, a program that hangs).
 */
export function gpuMemoryMeter({
  device,
  environment = process.env,
  program = 'nvidia-smi',
  driver = '/dev/nvidiactl',
  freshMs = 30_000,
  timeoutMs = 5000,
}: GpuMemoryOptions = {}): () => GpuMemory | undefined {
  // ONNX Runtime and TensorFlow take the first GPU that they are shown.
  const [first = '0'] = (environment.CUDA_VISIBLE_DEVICES || '0').split(',');
  if (device === 'cpu' || first.startsWith('-') || !existsSync(driver)) return () => undefined;
  const query = [`--id=${first}`, '--query-gpu=memory.used,memory.total', '--format=csv,noheader,nounits'];
  let known: GpuMemory | undefined;
  let askAgain = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() < askAgain) return known;
    askAgain = Number.POSITIVE_INFINITY;
    execFile(program, query, { timeout: timeoutMs, killSignal: 'SIGKILL' }, (error, text) => {
      known = error ? undefined : parsed(text);
      const isMissing = (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
      askAgain = isMissing ? Number.POSITIVE_INFINITY : performance.now() + freshMs;
    }).unref();
    return known;
  };
}

/** `1234, 81559`, in MiB; words where the driver does not know. */
function parsed(text: string): GpuMemory | undefined {
  const [used, total] = (text.split('\n')[0] ?? '').split(',').map((part) => Number.parseInt(part, 10));
  if (used === undefined || total === undefined || !(used >= 0 && total >= used)) return undefined;
  return { usedBytes: used * MIB, totalBytes: total * MIB };
}
