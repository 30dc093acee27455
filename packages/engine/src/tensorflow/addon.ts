import { existsSync, globSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../errors.ts';
import { forbidTensorFloat, nvidiaObstacle } from '../gpu.ts';

/** What is used of the native part of tfjs-node: tensors and saved models are known by numbers. */
export interface Addon {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
  createTensor(shape: readonly number[], dtype: number, data: ArrayBufferView): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  /** Names are `operation:output`, separated by commas. */
  runSavedModel(
    id: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string,
  ): { readonly id: number }[];
  getNumOfTensors(): number;
  getNumOfSavedModels(): number;
}

export type TensorflowDevice = 'cpu' | 'cuda';

const PACKAGES: Readonly<Record<TensorflowDevice, string>> = {
  cpu: '@tensorflow/tfjs-node',
  cuda: '@tensorflow/tfjs-node-gpu',
};

const SETUP: Readonly<Record<TensorflowDevice, string>> = {
  cpu: 'npm run setup:tensorflow',
  cuda: 'npm run setup:tensorflow -- --gpu',
};

/** The folder beside node_modules into which `npm run setup:tensorflow` installs. */
export const SETUP_FOLDER = '.tensorflow';

/** The file of the add-on, if tfjs-node is installed and built, by npm or by `npm run setup:tensorflow`. */
export function findAddon(device: TensorflowDevice, from = fileURLToPath(import.meta.url)): string | undefined {
  for (const folder of [installed(PACKAGES[device], from), ...setUp(PACKAGES[device], from)]) {
    const [file] = folder ? globSync('lib/napi-v*/tfjs_binding.node', { cwd: folder }) : [];
    if (folder && file) return join(folder, file);
  }
  return undefined;
}

function installed(name: string, from: string): string | undefined {
  try {
    return dirname(createRequire(from).resolve(`${name}/package.json`));
  } catch {
    return undefined; // it is an optional peer dependency
  }
}

function setUp(name: string, from: string): string[] {
  const parents: string[] = [];
  for (let folder = dirname(from); folder !== parse(folder).root; folder = dirname(folder)) parents.push(folder);
  return parents
    .map((folder) => join(folder, SETUP_FOLDER, 'node_modules', name))
    .filter((folder) => existsSync(folder));
}

/** What hinders TensorFlow from running on a device, as far as it can be told without loading it. */
export function addonObstacle(device: TensorflowDevice): string | undefined {
  const noGpu = device === 'cuda' ? nvidiaObstacle() : undefined;
  if (noGpu ?? findAddon(device)) return noGpu;
  return `it needs ${PACKAGES[device]}, which is not installed: run \`${SETUP[device]}\``;
}

interface Loaded {
  readonly addon: Addon;
  readonly device: TensorflowDevice;
  readonly threads: number;
}

let loaded: Loaded | undefined;

/**
 * Loads TensorFlow into the process. Its threads are made then, for the whole process, so the first engine decides how many.
 * @throws EngineError MISSING_ENGINE if it is not installed or finds no GPU, INVALID_INPUT if it runs already on other threads or another device.
 */
export function loadAddon(device: TensorflowDevice, threads: number): Addon {
  loaded ??= { addon: openAddon(device, threads), device, threads };
  if (loaded.device !== device || loaded.threads !== threads)
    throw new EngineError(
      'INVALID_INPUT',
      `TensorFlow already runs in this process on ${loaded.device} with ${loaded.threads} threads, not on ${device} with ${threads}: ` +
        'use the same for all engines of a process',
    );
  return loaded.addon;
}

function openAddon(device: TensorflowDevice, threads: number): Addon {
  const file = findAddon(device);
  if (!file) throw new EngineError('MISSING_ENGINE', `the engine 'tensorflow' cannot run: ${addonObstacle(device)}`);
  setEnvironment(device, threads);
  const addon = open(file, device);
  if (device === 'cuda' && !addon.isUsingGpuDevice())
    throw new EngineError('MISSING_ENGINE', 'TensorFlow finds no CUDA GPU: check `nvidia-smi`, or choose device cpu');
  return addon;
}

function open(file: string, device: TensorflowDevice): Addon {
  try {
    return createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError(
      'MISSING_ENGINE',
      `TensorFlow cannot be loaded from ${file} (${reason}): run \`${SETUP[device]}\` again`,
      { cause },
    );
  }
}

/** TensorFlow takes these from the environment only, when it is loaded. What the user has set stays. */
function setEnvironment(device: TensorflowDevice, threads: number): void {
  process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  process.env.TF_NUM_INTEROP_THREADS ??= '1';
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '3'; // what goes wrong comes back as an error
  if (device === 'cuda') {
    process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true'; // other processes share the card
    forbidTensorFloat();
  }
}
