import koffi from 'koffi';
import type { DeviceMemory } from './device-array.ts';

/** The host's own memory as that of a device: for tests, on machines without a GPU. */
export function hostMemory(bytes = 2 ** 32): DeviceMemory {
  const bytesAt = (address: bigint, length: number) => new Uint8Array(koffi.view(address, length));
  const bytesOf = ({ buffer, byteOffset, byteLength }: NodeJS.TypedArray) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  return {
    name: 'Cpu',
    bytes,
    allocate: (length) => koffi.alloc('uint8_t', length) as bigint,
    free: (address) => koffi.free(address),
    write: (address, source) => bytesAt(address, source.byteLength).set(bytesOf(source)),
    read: (target, address) => bytesOf(target).set(bytesAt(address, target.byteLength)),
    finish: () => undefined,
  };
}
