import { EngineError } from './errors.ts';
import { type NdArray, sizeOf } from './ndarray.ts';

/** What a file holds under one name: an array of the engine, or raw bytes (images). */
export type StoredTensor =
  | NdArray
  | { readonly dtype: 'uint8'; readonly shape: readonly number[]; readonly data: Uint8Array };

/** Longest header that is read, in bytes. */
export const MAX_HEADER_BYTES = 25_000_000;

// Widest first: the order of the tensors in a file, so that each lies aligned to its own size.
const STORED = [
  { name: 'F32', dtype: 'float32', array: Float32Array },
  { name: 'I32', dtype: 'int32', array: Int32Array },
  { name: 'U8', dtype: 'uint8', array: Uint8Array },
  { name: 'BOOL', dtype: 'bool', array: Uint8Array },
] as const;

type Stored = (typeof STORED)[number];

const LENGTH_BYTES = 8;
const METADATA = '__metadata__';

/**
 * A safetensors file (https://github.com/huggingface/safetensors): 8 bytes of header length, JSON, numbers (little-endian). Equal tensors and
 * metadata give equal bytes, whatever the order of the keys: tensors lie by width of their numbers, then by name, as Hugging Face writes them.
 * @throws EngineError INVALID_INPUT naming a tensor whose numbers do not fit its shape or dtype.
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, StoredTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, order: STORED.findIndex(({ dtype }) => dtype === tensor.dtype) }))
    .sort((a, b) => a.order - b.order || byCodePoint(a.name, b.name));
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0)
    header.push([
      METADATA,
      Object.fromEntries(Object.entries(metadata).sort(([left], [right]) => byCodePoint(left, right))),
    ]);
  let length = 0;
  for (const { name, tensor, order } of entries) {
    const begin = length;
    length += tensor.data.byteLength;
    header.push([
      name,
      { dtype: checkedToWrite(name, tensor, STORED[order]).name, shape: tensor.shape, data_offsets: [begin, length] },
    ]);
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerLength = Math.ceil(text.length / 8) * 8;
  if (headerLength > MAX_HEADER_BYTES)
    throw new EngineError('INVALID_INPUT', `a safetensors header of ${headerLength} bytes is over ${MAX_HEADER_BYTES}`);
  const start = LENGTH_BYTES + headerLength;
  const bytes = new Uint8Array(start + length).fill(0x20, LENGTH_BYTES, start);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(text, LENGTH_BYTES);
  let at = start;
  for (const { tensor } of entries) {
    bytes.set(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength), at);
    at += tensor.data.byteLength;
  }
  return bytes;
}

/**
 * Reads F32, I32, U8 and BOOL tensors and the metadata. Tensors are views of `bytes` where these lie aligned, else copies.
 * @throws EngineError MALFORMED_FILE, saying what is wrong and where, unless header, shapes, offsets and length agree: the tensors must fill
 * the file without gap or overlap.
 */
export function readSafetensors(bytes: Uint8Array): {
  tensors: Record<string, StoredTensor>;
  metadata: Record<string, string>;
} {
  const { header, start } = readHeader(bytes);
  const { [METADATA]: metadata = {}, ...described } = header;
  const entries = Object.entries(described)
    .map(([name, entry]) => readEntry(name, entry))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at)
      throw malformed(
        `tensor ${quoted(name)} begins at byte ${begin} of the data, but the tensor before it ends at ${at}`,
      );
    at = end;
  }
  if (bytes.length - start !== at)
    throw malformed(`the tensors take ${at} bytes, but the file holds ${bytes.length - start} after its header`);
  return {
    tensors: Object.fromEntries(entries.map((entry) => [entry.name, tensorOf(bytes, start, entry)])),
    metadata: readMetadata(metadata),
  };
}

interface Entry {
  readonly name: string;
  readonly stored: Stored;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function readHeader(bytes: Uint8Array): { header: Record<string, unknown>; start: number } {
  if (bytes.length < LENGTH_BYTES)
    throw malformed(`${bytes.length} bytes are too few for the header length (${LENGTH_BYTES} bytes)`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES)
    throw malformed(`the header is said to have ${length} bytes, over ${MAX_HEADER_BYTES}`);
  const start = LENGTH_BYTES + Number(length);
  if (start > bytes.length)
    throw malformed(`the header is said to have ${length} bytes, but only ${bytes.length - LENGTH_BYTES} follow`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, start)));
  } catch (cause) {
    throw malformed('the header is not JSON in UTF-8', { cause });
  }
  if (!isRecord(header)) throw malformed('the header is not a JSON object');
  return { header, start };
}

function readEntry(name: string, entry: unknown): Entry {
  const what = `tensor ${quoted(name)}`;
  if (!isRecord(entry)) throw malformed(`${what} is not described by an object`);
  const stored = STORED.find((candidate) => candidate.name === entry.dtype);
  if (!stored)
    throw malformed(`${what} has dtype ${quoted(entry.dtype)}; ${STORED.map((row) => row.name).join(', ')} are read`);
  if (!isNaturals(entry.shape)) throw malformed(`${what} has shape ${quoted(entry.shape)}, not a list of sizes`);
  if (!isNaturals(entry.data_offsets) || entry.data_offsets.length !== 2)
    throw malformed(`${what} has data_offsets ${quoted(entry.data_offsets)}, not [begin, end]`);
  const [begin = 0, end = 0] = entry.data_offsets;
  const needed = sizeOf(entry.shape) * stored.array.BYTES_PER_ELEMENT;
  if (end - begin !== needed)
    throw malformed(`${what} of shape [${entry.shape}] needs ${needed} bytes, but its offsets span ${end - begin}`);
  return { name, stored, shape: entry.shape, begin, end };
}

function tensorOf(bytes: Uint8Array, start: number, { name, stored, shape, begin, end }: Entry): StoredTensor {
  const { array: TypedArray, dtype } = stored;
  const offset = bytes.byteOffset + start + begin;
  const aligned = offset % TypedArray.BYTES_PER_ELEMENT === 0;
  const data = aligned
    ? new TypedArray(bytes.buffer as ArrayBuffer, offset, (end - begin) / TypedArray.BYTES_PER_ELEMENT)
    : new TypedArray(new Uint8Array(bytes.subarray(start + begin, start + end)).buffer);
  if (dtype === 'bool' && data.some((value) => value > 1))
    throw malformed(`tensor ${quoted(name)} is BOOL, but holds other bytes than 0 and 1`);
  return { dtype, shape, data } as StoredTensor; // dtype and array come from one row of STORED
}

function readMetadata(metadata: unknown): Record<string, string> {
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string'))
    throw malformed(`${METADATA} is not a map from text to text`);
  return metadata as Record<string, string>;
}

function checkedToWrite(name: string, { dtype, shape, data }: StoredTensor, stored: Stored | undefined): Stored {
  const what = `tensor ${quoted(name)}`;
  if (name === METADATA) throw new EngineError('INVALID_INPUT', `no tensor can be named ${METADATA}`);
  if (!stored) throw new EngineError('INVALID_INPUT', `${what} has dtype ${quoted(dtype)}, which is not stored`);
  if (!(data instanceof stored.array))
    throw new EngineError(
      'INVALID_INPUT',
      `${what} has dtype ${dtype}, but its numbers are not a ${stored.array.name}`,
    );
  if (!isNaturals(shape) || data.length !== sizeOf(shape))
    throw new EngineError(
      'INVALID_INPUT',
      `${what} has ${data.length} numbers, which do not fill the shape [${shape}]`,
    );
  return stored;
}

/** The order of UTF-8 bytes, which is not that of JavaScript's UTF-16 strings. */
function byCodePoint(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Foreign text in a message: quoted, and short whatever the file says. */
function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function malformed(message: string, options?: { cause?: unknown }): EngineError {
  return new EngineError('MALFORMED_FILE', `not a safetensors file: ${message}`, options);
}
