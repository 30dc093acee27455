import './no-telemetry.ts';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import 'onnxruntime-node'; // loads the library, whose C interface is used here
import { EngineError } from '../errors.ts';

/** An address. */
export type Pointer = bigint;

type Argument = 'void *' | 'str' | 'const char **' | 'int' | 'size_t';
type Value = Pointer | string | readonly string[] | number | NodeJS.TypedArray | null;

/**
 * ONNX Runtime's C interface is a table of functions that only ever grows (onnxruntime_c_api.h, struct OrtApi): the place of each that is used here, and
 * what it takes. `...status` functions return an error or null.
 */
const TABLE = {
  GetErrorMessage: [2, ['void *']],
  CreateEnv: [3, ['int', 'str', 'void *']],
  CreateSessionFromArray: [8, ['void *', 'void *', 'size_t', 'void *', 'void *']],
  CreateSessionOptions: [10, ['void *']],
  EnableProfiling: [14, ['void *', 'str']],
  SetSessionLogSeverityLevel: [22, ['void *', 'int']],
  SetSessionGraphOptimizationLevel: [23, ['void *', 'int']],
  SetIntraOpNumThreads: [24, ['void *', 'int']],
  CreateTensorWithDataAsOrtValue: [49, ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', 'void *']],
  GetTensorMutableData: [51, ['void *', 'void *']],
  CreateMemoryInfo: [68, ['str', 'int', 'int', 'int', 'void *']],
  AllocatorFree: [76, ['void *', 'void *']],
  GetAllocatorWithDefaultOptions: [78, ['void *']],
  ReleaseStatus: [93, ['void *']],
  ReleaseSession: [95, ['void *']],
  ReleaseValue: [96, ['void *']],
  ReleaseSessionOptions: [100, ['void *']],
  SessionEndProfiling: [110, ['void *', 'void *', 'void *']],
  RunWithBinding: [133, ['void *', 'void *', 'void *']],
  CreateIoBinding: [134, ['void *', 'void *']],
  ReleaseIoBinding: [135, ['void *']],
  BindInput: [136, ['void *', 'str', 'void *']],
  BindOutput: [137, ['void *', 'str', 'void *']],
  ClearBoundInputs: [141, ['void *']],
  ClearBoundOutputs: [142, ['void *']],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, ['void *', 'void *']],
  CreateCUDAProviderOptions: [205, ['void *']],
  UpdateCUDAProviderOptions: [206, ['void *', 'const char **', 'const char **', 'size_t']],
  ReleaseCUDAProviderOptions: [208, ['void *']],
} as const satisfies Readonly<Record<string, readonly [number, readonly Argument[]]>>;

export type NativeName = keyof typeof TABLE;
/** Functions that return nothing. */
const VOID: ReadonlySet<NativeName> = new Set([
  'ReleaseStatus',
  'ReleaseSession',
  'ReleaseValue',
  'ReleaseSessionOptions',
  'ReleaseIoBinding',
  'ClearBoundInputs',
  'ClearBoundOutputs',
  'ReleaseCUDAProviderOptions',
]);
/** The version of the interface whose places the table knows: that of ONNX Runtime 1.22. */
const API_VERSION = 22;
/** OrtApiBase: two functions, of which the first gives the table. */
const BYTES_OF_POINTER = 8;

type Functions = Readonly<Record<NativeName, (...values: readonly Value[]) => Pointer | string | null>>;
let functions: Functions | undefined;

/** The folder where ONNX Runtime's library is, and looks for its providers. */
export function libraryFolder(): string {
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  return join(folder, 'bin', 'napi-v6', process.platform, process.arch);
}

function open(): Functions {
  const library = koffi.load(join(libraryFolder(), 'libonnxruntime.so.1')); // the one that onnxruntime-node has loaded
  const base = library.func('OrtGetApiBase', 'void *', [])() as Pointer;
  const getApi = koffi.decode(pointerAt(base, 0), koffi.proto('void * OrtGetApi(uint32_t version)'));
  const table = getApi(API_VERSION) as Pointer;
  const entries = Object.entries(TABLE).map(([name, [place, parameters]]) => {
    const result = name === 'GetErrorMessage' ? 'str' : VOID.has(name as NativeName) ? 'void' : 'void *';
    const type = koffi.proto(`Ort${name}`, result, [...parameters]);
    return [name, koffi.decode(pointerAt(table, place), type)];
  });
  return Object.fromEntries(entries);
}

/** Calls a function. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
export function call(name: NativeName, ...values: readonly Value[]): void {
  functions ??= open();
  const status = functions[name](...values);
  if (!status) return;
  const message = functions.GetErrorMessage(status as Pointer);
  functions.ReleaseStatus(status as Pointer);
  throw new EngineError('RUNTIME_FAILURE', String(message));
}

/** Calls a function whose last parameter says where to write a pointer. @throws EngineError RUNTIME_FAILURE */
export function make(name: NativeName, ...values: readonly Value[]): Pointer {
  const out = new BigUint64Array(1);
  call(name, ...values, out);
  return out[0] ?? 0n;
}

/** The pointers that lie from this address on. */
export function pointersAt(address: Pointer, count: number): Pointer[] {
  return count === 0 ? [] : Array.from(new BigUint64Array(koffi.view(address, count * BYTES_OF_POINTER)));
}

function pointerAt(address: Pointer, place: number): Pointer {
  return pointersAt(address + BigInt(place * BYTES_OF_POINTER), 1)[0] ?? 0n;
}
