import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { EngineError } from '../errors.ts';

/** Reads one field of a message; `wire` is the type with which it was written. */
export type ReadField = (reader: BinaryReader, wire: WireType) => void;

/** Deepest nesting of messages: a model within a branch within a branch ... */
const MAX_DEPTH = 32;
let depth = 0;

/** Calls `read` at each field of a message, in the order of the file: it takes the field, or skips it. `from`: where the field began. */
export function readFields(
  bytes: Uint8Array,
  what: string,
  read: (reader: BinaryReader, number: number, wire: WireType, from: number) => void,
): void {
  if (depth >= MAX_DEPTH) throw malformed(`${what}: messages are nested more than ${MAX_DEPTH} deep`);
  depth++;
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const from = reader.pos;
      const [number, wire] = reader.tag();
      read(reader, number, wire, from);
    }
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw malformed(`${what}: ${cause instanceof Error ? cause.message : 'unreadable'} (truncated?)`, cause);
  } finally {
    depth--;
  }
}

/** Calls `fields[number]` for each field of a message; unknown fields are skipped, as protobuf demands. */
export function readMessage(bytes: Uint8Array, what: string, fields: Readonly<Record<number, ReadField>>): void {
  readFields(bytes, what, (reader, number, wire) => {
    const read = fields[number];
    if (read) read(reader, wire);
    else reader.skip(wire, number);
  });
}

export const text = (take: (value: string) => void): ReadField => bytes((value) => take(textOf(value)));

export const integer =
  (take: (value: number) => void): ReadField =>
  (reader, wire) => {
    expectWire(wire, WireType.Varint);
    take(Number(reader.int64()));
  };

export const bytes =
  (take: (value: Uint8Array) => void): ReadField =>
  (reader, wire) => {
    expectWire(wire, WireType.LengthDelimited);
    take(reader.bytes());
  };

export const float =
  (take: (value: number) => void): ReadField =>
  (reader, wire) => {
    expectWire(wire, WireType.Bit32);
    take(reader.float());
  };

/** A repeated number: packed into one run of bytes, or one at a time. */
export const numbers =
  (kind: 'int64' | 'float' | 'double', take: (value: number) => void): ReadField =>
  (reader, wire) => {
    const one = { int64: WireType.Varint, float: WireType.Bit32, double: WireType.Bit64 }[kind];
    if (wire === one) return take(Number(reader[kind]()));
    expectWire(wire, WireType.LengthDelimited);
    const packed = new BinaryReader(reader.bytes());
    while (packed.pos < packed.len) take(Number(packed[kind]()));
  };

export function textOf(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

export function malformed(message: string, cause?: unknown): EngineError {
  return new EngineError('MALFORMED_FILE', `not a readable ONNX file: ${message}`, { cause });
}

function expectWire(found: WireType, expected: WireType): void {
  if (found !== expected) throw malformed(`a field has wire type ${found} where ${expected} belongs`);
}
