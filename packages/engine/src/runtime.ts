import * as tf from '@tensorflow/tfjs-core';
import { type Choice, type EngineName, type Obstacles } from './choice.ts';
import { EngineError } from './errors.ts';
import type { Loader } from './program.ts';
import { loadReference } from './reference.ts';
import { addonObstacle, loadAddon } from './tensorflow/addon.ts';
import { loadTensorflow } from './tensorflow/program.ts';

/** What a result depends on besides seed and inputs: belongs into every manifest. Equal values give equal bits. */
export interface EngineInfo extends Choice {
  readonly threads: number;
  readonly blockSize: number;
  readonly runtimeVersion: string;
}

/** An engine that is ready to load graphs. */
export interface Runtime {
  readonly info: EngineInfo;
  readonly load: Loader;
  /** How large the memory is in which it computes, if that is not the host's. */
  readonly deviceBytes?: number;
}

export interface RuntimeOptions {
  readonly threads: number;
  readonly blockSize?: number | undefined;
}

const none = async () => undefined;
/** ONNX Runtime is loaded when it is first needed: the gateway and most commands never do. */
const provider = (name: 'cuda' | 'webgpu') => async () => (await import('./onnx/device.ts')).providerObstacle(name);

/** The devices of each engine. */
export const obstacles: Obstacles = {
  onnx: { cpu: none, cuda: provider('cuda'), webgpu: provider('webgpu') },
  tensorflow: { cpu: async () => addonObstacle('cpu'), cuda: async () => addonObstacle('cuda') },
  reference: { cpu: none },
};

const openers: Readonly<Record<EngineName, (choice: Choice, options: RuntimeOptions) => Promise<Runtime>>> = {
  onnx: openOnnx,
  async tensorflow(choice, { threads, blockSize }) {
    requireStandard(choice, blockSize);
    const addon = loadAddon(choice.device === 'cuda' ? 'cuda' : 'cpu', threads);
    const info = { ...choice, threads, blockSize: 1, runtimeVersion: `tensorflow ${addon.TF_Version}` };
    return { info, load: (graph) => loadTensorflow(graph, addon) };
  },
  async reference(choice, { blockSize }) {
    requireStandard(choice, blockSize);
    const info = { ...choice, threads: 1, blockSize: 1, runtimeVersion: `tfjs-backend-cpu ${tf.version_core}` };
    return { info, load: loadReference };
  },
};

/** Makes what was chosen ready. @throws EngineError INVALID_INPUT, MISSING_ENGINE */
export function openRuntime(choice: Choice, options: RuntimeOptions): Promise<Runtime> {
  return openers[choice.engine](choice, options);
}

async function openOnnx(choice: Choice, { threads, blockSize }: RuntimeOptions): Promise<Runtime> {
  const { device } = choice;
  const { detectBlock } = await import('./onnx/block.ts');
  const { loadOnnx, runtimeVersion } = await import('./onnx/program.ts');
  if (device !== 'cpu') requireStandard(choice, blockSize);
  const detected = device === 'cpu' ? await detectBlock() : 1;
  const block = blockSize ?? detected;
  if (block !== 1 && block !== detected)
    throw new EngineError('INVALID_INPUT', `blockSize is ${block}; this processor's kernels know 1 and ${detected}`);
  const info = { ...choice, threads, blockSize: block, runtimeVersion: runtimeVersion() };
  const load: Loader = (graph) => loadOnnx(graph, { threads, block, device });
  if (device !== 'cuda') return { info, load };
  const { cudaMemory } = await import('./onnx/cuda.ts');
  return { info, load, deviceBytes: cudaMemory().bytes };
}

function requireStandard({ engine, device }: Choice, blockSize: number | undefined): void {
  if (blockSize !== undefined && blockSize !== 1)
    throw new EngineError('INVALID_INPUT', `blockSize is ${blockSize}; '${engine}' on ${device} knows 1 only`);
}
