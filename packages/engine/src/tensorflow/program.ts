import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EngineError } from '../errors.ts';
import type { Graph } from '../graph.ts';
import type { NdArray } from '../ndarray.ts';
import { peakBytes } from '../peak-bytes.ts';
import type { Program } from '../program.ts';
import type { Addon } from './addon.ts';
import { DATA_TYPE, TAG } from './encode.ts';
import { type LoweredGraph, lowerToTensorflow } from './lower.ts';

/** Loads a graph into a TensorFlow session. */
export async function loadTensorflow(graph: Graph, addon: Addon): Promise<Program> {
  const lowered = lowerToTensorflow(graph);
  const model = attempt(`TensorFlow does not accept the graph of '${graph.name}'`, () =>
    loadModel(addon, lowered.model),
  );
  return {
    bytes:
      lowered.model.byteLength +
      peakBytes(
        graph.nodes,
        graph.outputs.map(({ node }) => node),
      ),
    run: async (inputs) =>
      attempt(`'${graph.name}' failed in TensorFlow`, () => runModel(addon, model, lowered, graph, inputs)),
    release: async () => addon.deleteSavedModel(model),
  };
}

/** The add-on reads models from folders only. */
function loadModel(addon: Addon, model: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-'));
  try {
    writeFileSync(join(folder, 'saved_model.pb'), model);
    return addon.loadSavedModel(folder, TAG);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runModel(
  addon: Addon,
  model: number,
  { inputNames, outputNames }: LoweredGraph,
  graph: Graph,
  inputs: readonly NdArray[],
) {
  const held: number[] = [];
  try {
    for (const { shape, dtype, data } of inputs) held.push(addon.createTensor(shape, DATA_TYPE[dtype], data));
    const results = addon.runSavedModel(model, held, joined(inputNames), joined(outputNames));
    held.push(...results.map(({ id }) => id));
    return graph.outputs.map(({ node: { shape, dtype } }, i): NdArray => {
      const result = results[i];
      if (!result) throw new Error(`it gave no output ${i}`);
      return { dtype, shape, data: addon.tensorDataSync(result.id) };
    });
  } finally {
    for (const id of held) addon.deleteTensor(id);
  }
}

function joined(names: readonly string[]): string {
  return names.map((name) => `${name}:0`).join();
}

function attempt<T>(problem: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('RUNTIME_FAILURE', `${problem}: ${reason}`, { cause });
  }
}
