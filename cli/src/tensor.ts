import type { FloatTensor } from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service/client';

/** The numbers of a tensor, in their order. @throws JsigrError INVALID_ARGUMENT when shape and length differ. */
export function floatsOf({ shape, data }: FloatTensor): Float32Array {
  const size = shape.reduce((product, extent) => product * extent, 1);
  if (data.length !== size * 4)
    throw invalidArgument('tensor', `shape [${shape}] needs ${size * 4} bytes, ${data.length} arrived`);
  // A copy: the bytes may lie anywhere in a larger buffer, and a Float32Array must be aligned.
  return new Float32Array(new Uint8Array(data).buffer);
}

/** Numbers as a tensor of the contract. */
export function tensorOf(shape: readonly number[], values: Float32Array): FloatTensor {
  return { shape: [...shape], data: Buffer.from(values.buffer, values.byteOffset, values.byteLength) };
}
