import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isConstant } from '../constant-arrays.ts';
import { lazyArray } from '../lazy-array.ts';
import type { DType, NdArray, TensorSpec } from '../ndarray.ts';
import { sizeOf } from '../ndarray.ts';
import { ELEMENT_TYPE } from './graph.ts';
import { call, make, type Pointer } from './native.ts';

/** The memory of a device. */
export interface DeviceMemory {
  /** ONNX Runtime's name of it. */
  readonly name: string;
  /** How large it is. */
  readonly bytes: number;
  allocate(bytes: number): Pointer;
  free(address: Pointer): void;
  /** Copies from the host to an address. */
  write(address: Pointer, source: NdArray['data']): void;
  /** Copies from an address to the host. */
  read(target: NdArray['data'], address: Pointer): void;
  /** Returns when what was allocated can be used. */
  finish(): void;
}

/** A place for an array on a device, and what ONNX Runtime knows it by (an OrtValue). */
export interface Block {
  readonly memory: DeviceMemory;
  readonly address: Pointer;
  readonly bytes: number;
  readonly value: Pointer;
}

/** When arrays of this share of a memory were made, JavaScript's garbage collector is called for. */
const GARBAGE_SHARE = 1 / 16;

const ARRAY_TYPES = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };
/** OrtDeviceAllocator, OrtMemTypeDefault */
const [DEVICE_ALLOCATOR, DEFAULT_MEMORY] = [0, 0];

const places = new Map<string, Pointer>();

/** An OrtValue of numbers that lie in the named memory; it does not own them. */
export function ortValue(
  name: string,
  data: Pointer | NdArray['data'],
  bytes: number,
  { dtype, shape }: TensorSpec,
): Pointer {
  const place = places.get(name) ?? make('CreateMemoryInfo', name, DEVICE_ALLOCATOR, 0, DEFAULT_MEMORY);
  places.set(name, place);
  const dimensions = BigInt64Array.from(shape, BigInt);
  const type = ELEMENT_TYPE[dtype satisfies DType];
  return make('CreateTensorWithDataAsOrtValue', place, data, bytes, dimensions, shape.length, type);
}

export function allocate(memory: DeviceMemory, spec: TensorSpec): Block {
  const bytes = sizeOf(spec.shape) * ARRAY_TYPES[spec.dtype].BYTES_PER_ELEMENT;
  const address = memory.allocate(bytes);
  return { memory, address, bytes, value: ortValue(memory.name, address, bytes, spec) };
}

export function free({ memory, address, value }: Block): void {
  call('ReleaseValue', value);
  memory.free(address);
}

const blocks = new WeakMap<NdArray, Block>();
const registry = new FinalizationRegistry(free);
/** Bytes of arrays made since the collector was called. */
const made = new WeakMap<DeviceMemory, number>();

/** An array that is on the device, and stays there; the block is freed with it. */
export function deviceArray(block: Block, { dtype, shape }: TensorSpec): NdArray {
  const { memory, address, bytes } = block;
  const array = lazyArray(dtype, shape, () => {
    const data = new ARRAY_TYPES[dtype](sizeOf(shape));
    memory.read(data, address);
    return data;
  });
  blocks.set(array, block);
  registry.register(array, block);
  made.set(memory, (made.get(memory) ?? 0) + bytes);
  return array;
}

/** Where the array is in this memory: if it came from there, or is constant, in which case it is copied to there now. */
export function blockOf(array: NdArray, memory: DeviceMemory): Block | undefined {
  const known = blocks.get(array);
  if (known?.memory === memory) return known;
  if (!isConstant(array)) return undefined;
  const block = allocate(memory, array);
  memory.write(block.address, array.data);
  blocks.set(array, block);
  registry.register(array, block);
  return block;
}

let collect: (() => void) | undefined;

/** JavaScript does not see how large the arrays of a device are, so it is told when to look for those that nobody needs any more. */
export async function collectGarbage(memory: DeviceMemory): Promise<void> {
  if ((made.get(memory) ?? 0) < memory.bytes * GARBAGE_SHARE) return;
  made.set(memory, 0);
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  await new Promise((resolve) => setImmediate(resolve)); // the registry is called between tasks
}
