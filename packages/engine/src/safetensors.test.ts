import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EngineError } from './errors.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from './safetensors.ts';

const tensors: Record<string, StoredTensor> = {
  w: { dtype: 'float32', shape: [3, 2], data: Float32Array.of(1, -2.5, 0.125, 3e38, -0, 1e-45) },
  step: { dtype: 'int32', shape: [], data: Int32Array.of(-7) },
  images: { dtype: 'uint8', shape: [3], data: Uint8Array.of(0, 127, 255) },
  mask: { dtype: 'bool', shape: [2], data: Uint8Array.of(1, 0) },
  empty: { dtype: 'float32', shape: [0, 3], data: new Float32Array() },
  é: { dtype: 'int32', shape: [1], data: Int32Array.of(2) },
};
const metadata = { 'made by': 'Python' };

// The same tensors, written by Python: safetensors.numpy.save(tensors, metadata) of safetensors 0.8.0.
const GOLDEN = Buffer.from(
  'gAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJtYWRlIGJ5IjoiUHl0aG9uIn0sImVtcHR5Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlswLDNdLCJkYXRhX29mZnNl' +
    'dHMiOlswLDBdfSwidyI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMywyXSwiZGF0YV9vZmZzZXRzIjpbMCwyNF19LCJzdGVwIjp7ImR0eXBlIjoiSTMyIiwic2hh' +
    'cGUiOltdLCJkYXRhX29mZnNldHMiOlsyNCwyOF19LCLDqSI6eyJkdHlwZSI6IkkzMiIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzI4LDMyXX0sImltYWdl' +
    'cyI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbMzIsMzVdfSwibWFzayI6eyJkdHlwZSI6IkJPT0wiLCJzaGFwZSI6WzJdLCJkYXRh' +
    'X29mZnNldHMiOlszNSwzN119fSAAAIA/AAAgwAAAAD7msWF/AAAAgAEAAAD5////AgAAAAB//wEA',
  'base64',
);

describe('against the file that Python wrote', () => {
  test('reads every tensor and the metadata', () => {
    expect(readSafetensors(GOLDEN)).toEqual({ tensors, metadata });
  });

  test('writes the same bytes', () => {
    expect(Buffer.from(writeSafetensors(tensors, metadata)).equals(GOLDEN)).toBe(true);
  });
});

const numbers = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 12 });
const tensor: fc.Arbitrary<StoredTensor> = fc.oneof(
  numbers.map((values) => ({ dtype: 'int32' as const, shape: [values.length], data: Int32Array.from(values) })),
  fc
    .array(fc.float(), { maxLength: 12 })
    .map((values) => ({ dtype: 'float32' as const, shape: [1, values.length], data: Float32Array.from(values) })),
  fc.uint8Array({ maxLength: 9 }).map((data) => ({ dtype: 'uint8' as const, shape: [data.length], data })),
  fc.uint8Array({ max: 1, maxLength: 9 }).map((data) => ({ dtype: 'bool' as const, shape: [data.length, 1, 1], data })),
);
const record = fc.dictionary(fc.string(), tensor, { maxKeys: 6 });
const texts = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });

test('what is written is read back, wherever the bytes lie in memory', () => {
  fc.assert(
    fc.property(record, texts, fc.nat(7), (stored, notes, shift) => {
      const bytes = writeSafetensors(stored, notes);
      const shifted = Buffer.alloc(bytes.length + shift).subarray(shift);
      shifted.set(bytes);
      const read = readSafetensors(shifted);
      expect(Object.entries(read.tensors).sort()).toEqual(Object.entries(stored).sort());
      expect(Object.entries(read.metadata).sort()).toEqual(Object.entries(notes).sort());
    }),
  );
});

test('the order of the keys does not change the bytes, and the data begins at a multiple of 8', () => {
  fc.assert(
    fc.property(record, texts, (stored, notes) => {
      const bytes = writeSafetensors(stored, notes);
      const reversed = Object.fromEntries(Object.entries(stored).reverse());
      expect(writeSafetensors(reversed, Object.fromEntries(Object.entries(notes).reverse()))).toEqual(bytes);
      expect(new DataView(bytes.buffer).getUint32(0, true) % 8).toBe(0);
    }),
  );
});

function malformed(bytes: Uint8Array): string {
  try {
    readSafetensors(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    expect((error as EngineError).reason).toBe('MALFORMED_FILE');
    return (error as EngineError).message;
  }
  throw new Error('the file was read');
}

test('a file cut at any byte is refused', () => {
  for (let length = 0; length < GOLDEN.length; length++) malformed(GOLDEN.subarray(0, length));
});

test('a byte too many is refused', () => {
  expect(malformed(Buffer.concat([GOLDEN, Buffer.alloc(1)]))).toMatch(
    'the tensors take 37 bytes, but the file holds 38',
  );
});

test('a changed byte is read or refused as malformed, never anything else', () => {
  fc.assert(
    fc.property(fc.nat(GOLDEN.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(GOLDEN);
      changed[at] = (changed[at] ?? 0) ^ flip;
      try {
        readSafetensors(changed);
      } catch (error) {
        expect(error).toMatchObject({ name: 'EngineError', reason: 'MALFORMED_FILE' });
      }
    }),
    { numRuns: 1000 },
  );
});

function file(header: unknown, data: number): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, Buffer.alloc(data, 2)]);
}

const a = { dtype: 'U8', shape: [2], data_offsets: [0, 2] };
const lying: [string, Uint8Array, string][] = [
  ['no header', file('', 0), 'not JSON'],
  ['a header that is not UTF-8', file('{"\u00ff":1}', 0).map((byte) => (byte === 0xc3 ? 0xff : byte)), 'not JSON'],
  ['a list for a header', file([], 0), 'not a JSON object'],
  ['a header beyond the limit', Buffer.from('ffffffffffffffff', 'hex'), 'over 25000000'],
  ['a header beyond the file', Buffer.from('1000000000000000', 'hex'), 'only 0 follow'],
  ['a tensor that is no object', file({ a: 1 }, 0), 'tensor "a" is not described'],
  ['an unknown dtype', file({ a: { ...a, dtype: 'F64' } }, 2), 'has dtype "F64"; F32, I32, U8, BOOL are read'],
  ['a negative size', file({ a: { ...a, shape: [-2] } }, 2), 'has shape [-2]'],
  ['a fractional size', file({ a: { ...a, shape: [0.5, 4] } }, 2), 'has shape [0.5,4]'],
  ['a shape of absurd size', file({ a: { ...a, shape: [2 ** 52, 2 ** 52] } }, 2), 'needs 2.'],
  ['one offset', file({ a: { ...a, data_offsets: [0] } }, 2), 'not [begin, end]'],
  ['offsets in reverse', file({ a: { ...a, data_offsets: [2, 0] } }, 2), 'its offsets span -2'],
  ['offsets that do not fit the shape', file({ a: { ...a, data_offsets: [0, 3] } }, 3), 'needs 2 bytes'],
  ['offsets beyond the file', file({ a }, 1), 'the tensors take 2 bytes, but the file holds 1'],
  ['a gap at the beginning', file({ a: { ...a, data_offsets: [1, 3] } }, 3), 'begins at byte 1'],
  ['a gap', file({ a, b: { ...a, data_offsets: [3, 5] } }, 5), 'tensor "b" begins at byte 3'],
  ['an overlap', file({ a, b: { ...a, data_offsets: [1, 3] } }, 3), 'tensor "b" begins at byte 1'],
  ['a BOOL of 2', file({ a: { ...a, dtype: 'BOOL' } }, 2), 'other bytes than 0 and 1'],
  ['metadata that is not text', file({ __metadata__: { epoch: 1 } }, 0), '__metadata__ is not a map'],
];

test.each(lying)('%s is refused', (_, bytes, message) => {
  expect(malformed(bytes)).toMatch(message);
});

test.each<[string, StoredTensor, string]>([
  ['numbers that do not fill the shape', { dtype: 'uint8', shape: [3], data: new Uint8Array(2) }, 'do not fill'],
  ['numbers of another dtype', { dtype: 'float32', shape: [2], data: new Int32Array(2) }, 'not a Float32Array'],
  ['an unknown dtype', { dtype: 'int64', shape: [0], data: new Int32Array() } as never, 'dtype "int64"'],
])('%s cannot be written', (_, bad, message) => {
  expect(() => writeSafetensors({ a: bad })).toThrow(message);
});
