import * as ort from 'onnxruntime-node';

/** Loads a model with the options that measurements chose. */
export function createSession(model: Uint8Array, threads: number): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4, // what goes wrong comes back as an error
    // threads that spin while they wait make two threads slower than one on a busy machine
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  });
}
