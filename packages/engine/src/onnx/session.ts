import * as ort from 'onnxruntime-node';
import type { DeviceName } from '../choice.ts';

/** An execution provider of ONNX Runtime; what it lacks runs on the CPU. */
export type Provider = DeviceName;

export interface SessionOptions {
  readonly threads: number;
  readonly device: Provider;
  /** A path prefix: every operator's time is written there. */
  readonly profile?: string;
}

/** Loads a model with the options that measurements chose. */
export function createSession(
  model: Uint8Array,
  { threads, device, profile }: SessionOptions,
): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(model, {
    executionProviders: [device],
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4, // what goes wrong comes back as an error
    // Threads that wait spin for 50 us, which bridges the gaps between operators (3 to 6 % of a step with two threads). Longer gains
    // nothing more, and on a busy machine it makes two threads slower than one.
    extra: {
      session: {
        intra_op: { allow_spinning: '1', spin_duration_us: '50' },
        inter_op: { allow_spinning: '0' },
        force_spinning_stop: '1',
      },
    },
  });
}
