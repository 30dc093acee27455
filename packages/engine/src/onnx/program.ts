import * as ort from 'onnxruntime-node';
import { EngineError } from '../errors.ts';
import type { Graph } from '../graph.ts';
import type { NdArray } from '../ndarray.ts';
import type { Program } from '../program.ts';
import { type LoweredGraph, lowerGraph } from './lower.ts';
import { profileSession } from './profile.ts';
import { createSession, type Provider } from './session.ts';

export interface OnnxOptions {
  readonly threads: number;
  readonly block: number;
  readonly device: Provider;
}

/** Loads a graph into ONNX Runtime. */
export async function loadOnnx(graph: Graph, { threads, block, device }: OnnxOptions): Promise<Program> {
  const lowered = lowerGraph(graph, block, { onlyStandard: device !== 'cpu' });
  const session = await createSession(lowered.model, { threads, device }).catch((cause: unknown) => {
    throw new EngineError(
      'RUNTIME_FAILURE',
      `ONNX Runtime does not accept the graph of '${graph.name}': ${messageOf(cause)}`,
      { cause },
    );
  });
  const open = (profile: string) => createSession(lowered.model, { threads, device, profile });
  return {
    bytes: lowered.model.byteLength + lowered.workingBytes,
    run: (inputs) => runSession(session, lowered, graph, inputs),
    profile: (inputs, runs) =>
      profileSession(open, (profiled) => runSession(profiled, lowered, graph, inputs), lowered, runs),
    release: () => session.release(),
  };
}

async function runSession(
  session: ort.InferenceSession,
  lowered: LoweredGraph,
  graph: Graph,
  inputs: readonly NdArray[],
) {
  const feeds: Record<string, ort.Tensor> = {};
  for (const [i, { dtype, shape, data }] of inputs.entries()) {
    const name = lowered.inputNames[i];
    if (name) feeds[name] = new ort.Tensor(dtype, data, shape); // reads the numbers in place
  }
  const results = await session.run(feeds).catch((cause: unknown) => {
    throw new EngineError('RUNTIME_FAILURE', `'${graph.name}' failed in ONNX Runtime: ${messageOf(cause)}`, { cause });
  });
  return graph.outputs.map(({ node: { shape, dtype } }, i): NdArray => {
    const result = results[lowered.outputNames[i] ?? ''];
    if (!result) throw new EngineError('RUNTIME_FAILURE', `'${graph.name}' gave no output ${i}`);
    return { dtype, shape, data: result.data as NdArray['data'] };
  });
}

export function runtimeVersion(): string {
  return `onnxruntime-node ${ort.env.versions.node ?? ort.env.versions.common}`;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
