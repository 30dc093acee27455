import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { EngineError } from '../errors.ts';
import type { DeviceMemory } from './device-array.ts';
import { call, libraryFolder, make, type Pointer } from './native.ts';

/** The folder beside node_modules into which `npm run setup:cuda` installs. */
const SETUP_FOLDER = '.cuda';
const PROVIDER = 'libonnxruntime_providers_cuda.so';
/** What the provider and cuDNN need, in an order in which each finds the ones before it; the versions are those of CUDA 13 and cuDNN 9. */
const LIBRARIES = [
  'libcudart.so.13',
  'libnvrtc.so.13',
  'libcublasLt.so.13',
  'libcublas.so.13',
  'libcurand.so.10',
  'libcufft.so.12',
  'libcudnn.so.9',
];
/** cudaMemcpyKind */
const [TO_DEVICE, TO_HOST] = [1, 2];
/** cudaMemPoolAttrReleaseThreshold */
const RELEASE_THRESHOLD = 4;
const FIRST_GPU = 0;

/** Whether ONNX Runtime's CUDA provider is where it is looked for. */
export function isCudaInstalled(): boolean {
  return existsSync(join(libraryFolder(), PROVIDER));
}

/** Adds the CUDA provider to the options of a session. @throws EngineError RUNTIME_FAILURE if it cannot be loaded */
export function addCuda(sessionOptions: Pointer): void {
  loadLibraries();
  const options = {
    device_id: '0',
    use_tf32: process.env.NVIDIA_TF32_OVERRIDE === '1' ? '1' : '0',
    cudnn_conv_algo_search: 'EXHAUSTIVE',
    arena_extend_strategy: 'kSameAsRequested', // other processes share the card
  };
  const cuda = make('CreateCUDAProviderOptions');
  try {
    const [keys, values] = [Object.keys(options), Object.values(options)];
    call('UpdateCUDAProviderOptions', cuda, keys, values, keys.length);
    call('SessionOptionsAppendExecutionProvider_CUDA_V2', sessionOptions, cuda);
  } finally {
    call('ReleaseCUDAProviderOptions', cuda);
  }
}

let memory: DeviceMemory | undefined;

/** The memory of the first GPU. */
export function cudaMemory(): DeviceMemory {
  memory ??= openMemory();
  return memory;
}

function openMemory(): DeviceMemory {
  loadLibraries();
  const library = koffi.load('libcudart.so.13');
  const runtime = {
    cudaMemcpy: ['void *', 'void *', 'size_t', 'int'],
    cudaMallocAsync: ['void *', 'size_t', 'void *'],
    cudaFreeAsync: ['void *', 'void *'],
    cudaDeviceSynchronize: [],
    cudaMemGetInfo: ['void *', 'void *'],
    cudaDeviceGetDefaultMemPool: ['void *', 'int'],
    cudaMemPoolSetAttribute: ['void *', 'int', 'void *'],
  } as const;
  const functions = new Map(
    Object.entries(runtime).map(([name, parameters]) => [name, library.func(name, 'int', [...parameters])]),
  );
  const check = (name: keyof typeof runtime, ...values: readonly unknown[]) => {
    const code: unknown = functions.get(name)?.(...values);
    if (code !== 0) throw new EngineError('RUNTIME_FAILURE', `${name} failed with CUDA's error ${code}`);
  };
  const out = () => new BigUint64Array(1);
  const [available, total, pool] = [out(), out(), out()];
  check('cudaMemGetInfo', available, total);
  // the pool keeps what was freed: the next step wants the same again
  check('cudaDeviceGetDefaultMemPool', pool, FIRST_GPU);
  check('cudaMemPoolSetAttribute', pool[0], RELEASE_THRESHOLD, BigUint64Array.of(2n ** 64n - 1n));
  return {
    name: 'Cuda',
    bytes: Number(total[0]),
    allocate(bytes) {
      const address = out();
      check('cudaMallocAsync', address, bytes, null);
      return address[0] ?? 0n;
    },
    free: (address) => check('cudaFreeAsync', address, null),
    write: (address, source) => check('cudaMemcpy', address, source, source.byteLength, TO_DEVICE),
    read: (target, address) => check('cudaMemcpy', target, address, target.byteLength, TO_HOST),
    finish: () => check('cudaDeviceSynchronize'),
  };
}

let isLoaded = false;

/** The libraries of `npm run setup:cuda`, so that they are found without LD_LIBRARY_PATH; without them those of the system are taken. */
function loadLibraries(): void {
  if (isLoaded) return;
  isLoaded = true;
  const folder = setupFolder();
  const there = folder ? readdirSync(folder) : [];
  for (const name of LIBRARIES) if (folder && there.includes(name)) koffi.load(join(folder, name));
}

function setupFolder(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== parse(folder).root; folder = dirname(folder)) {
    const libraries = join(folder, SETUP_FOLDER, 'lib');
    if (existsSync(libraries)) return libraries;
  }
  return undefined;
}
