import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { decodeTensor } from './decode.ts';
import { externalBytes, type ReadExternal } from './tensor.ts';
import { readFields } from './wire.ts';

type Part = 'attribute' | 'function' | 'graph' | 'model' | 'node' | 'sparse' | 'tensor';

/** Fields of each message that hold tensors, or messages that do. */
const PARTS: Readonly<Record<Part, Readonly<Record<number, Part>>>> = {
  model: { 7: 'graph', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
};

/** Fields of a tensor: its numbers, where they lie outside of the file, and that they do. */
const [RAW_DATA, EXTERNAL_DATA, DATA_LOCATION] = [9, 13, 14];
const PLACES: readonly number[] = [RAW_DATA, EXTERNAL_DATA, DATA_LOCATION];

/**
 * An ONNX file with all its numbers in it: those that lie in other files a runtime would look for on the disk of whoever runs it. A file that is whole
 * comes back as it is.
 * @throws EngineError MALFORMED_FILE naming the tensor whose numbers are not at hand
 */
export function inlineOnnx(file: Uint8Array, readExternal: ReadExternal): Uint8Array {
  return rewritten(file, 'model', readExternal);
}

function rewritten(message: Uint8Array, part: Part, readExternal: ReadExternal): Uint8Array {
  const pieces: Uint8Array[] = [];
  let [copied, isExternal] = [0, false];
  readFields(message, part, (reader, field, wire, from) => {
    const inner = wire === WireType.LengthDelimited ? PARTS[part][field] : undefined;
    const content = inner && reader.bytes();
    if (!content) reader.skip(wire, field);
    const changed = content && rewritten(content, inner, readExternal);
    const isPlace = part === 'tensor' && PLACES.includes(field);
    if (changed === content && !isPlace) return;
    isExternal ||= isPlace && field === EXTERNAL_DATA;
    pieces.push(message.subarray(copied, from), ...(changed ? written(field, changed) : []));
    copied = reader.pos;
  });
  if (part === 'tensor' && !isExternal) return message;
  if (isExternal) pieces.push(...written(RAW_DATA, externalBytes(decodeTensor(message), readExternal)));
  return pieces.length === 0 ? message : new Uint8Array(Buffer.concat([...pieces, message.subarray(copied)]));
}

/** A field of bytes: its tag and length, and what it holds. */
function written(field: number, content: Uint8Array): Uint8Array[] {
  return [new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(content.length).finish(), content];
}
