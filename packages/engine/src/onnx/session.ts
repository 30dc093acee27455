import * as ort from 'onnxruntime-node';
import type { DeviceName } from '../choice.ts';

/** An execution provider of ONNX Runtime; what it lacks runs on the CPU. */
export type Provider = DeviceName;

/** Loads a model with the options that measurements chose. */
export function createSession(
  model: Uint8Array,
  { threads, device }: { readonly threads: number; readonly device: Provider },
): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(model, {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4, // what goes wrong comes back as an error
    // threads that spin while they wait make two threads slower than one on a busy machine
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  });
}
