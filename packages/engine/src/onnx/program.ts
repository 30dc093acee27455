import './no-telemetry.ts';
import * as ort from 'onnxruntime-node';
import { EngineError } from '../errors.ts';
import type { Graph } from '../graph.ts';
import type { NdArray } from '../ndarray.ts';
import type { Program, ScanRole } from '../program.ts';
import { type LoweredGraph, lowerGraph, lowerScan } from './lower.ts';
import { profileSession } from './profile.ts';
import { openSession, type Provider, type Session } from './session.ts';

export interface OnnxOptions {
  readonly threads: number;
  readonly block: number;
  readonly device: Provider;
}

/** Loads a graph into ONNX Runtime. */
export async function loadOnnx(graph: Graph, { threads, block, device }: OnnxOptions): Promise<Program> {
  const options = { isForGpu: device !== 'cpu' };
  const lowered = lowerGraph(graph, block, options);
  const open = (model: Uint8Array) =>
    openSession(model, { threads, device }).catch((cause: unknown) => {
      throw new EngineError(
        'RUNTIME_FAILURE',
        `ONNX Runtime does not accept the graph of '${graph.name}': ${messageOf(cause)}`,
        { cause },
      );
    });
  const session = await open(lowered.model);
  // loaded when they are first wanted: most functions are never scanned
  const scans = new Map<string, Promise<Loaded>>();
  const scanned = (roles: readonly ScanRole[]) => {
    const key = roles.join();
    const known = scans.get(key);
    if (known) return known;
    const names = lowerScan(graph, roles, block, options);
    const opened = open(names.model).then((scan) => ({ session: scan, ...names }));
    scans.set(key, opened);
    opened.catch(() => scans.delete(key));
    return opened;
  };
  // on CUDA state stays on the GPU between runs, so a scan gains nothing
  const scan: Program['scan'] =
    device === 'cuda' ? undefined : async (inputs, roles) => runSession(await scanned(roles), graph, inputs);
  const profiled = (profile: string) => openSession(lowered.model, { threads, device, profile });
  return {
    get bytes() {
      return (1 + scans.size) * (lowered.model.byteLength + lowered.workingBytes);
    },
    run: (inputs) => runSession({ session, ...lowered }, graph, inputs),
    ...(scan ? { scan } : {}),
    profile: (inputs, runs) =>
      profileSession(profiled, (opened) => runSession({ session: opened, ...lowered }, graph, inputs), lowered, runs),
    async release() {
      await session.release();
      for (const scan of scans.values()) await (await scan).session.release();
    },
  };
}

interface Loaded extends Pick<LoweredGraph, 'inputNames' | 'outputNames'> {
  readonly session: Session;
}

async function runSession(
  { session, inputNames, outputNames }: Loaded,
  graph: Graph,
  inputs: readonly NdArray[],
): Promise<NdArray[]> {
  const feeds = inputs.flatMap((array, i) => (inputNames[i] ? [[inputNames[i], array] as const] : []));
  const outputs = graph.outputs.map(({ node: { shape, dtype } }, i) => ({ name: outputNames[i] ?? '', shape, dtype }));
  return session.run(new Map(feeds), outputs).catch((cause: unknown) => {
    throw new EngineError('RUNTIME_FAILURE', `'${graph.name}' failed in ONNX Runtime: ${messageOf(cause)}`, { cause });
  });
}

export function runtimeVersion(): string {
  return `onnxruntime-node ${ort.env.versions.node ?? ort.env.versions.common}`;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
