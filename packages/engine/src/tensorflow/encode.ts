import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { DType } from '../ndarray.ts';
import type { Attribute, Tensor, TensorflowNode } from './graph.ts';

/** types.proto, DataType: also the numbers of the C interface. */
export const DATA_TYPE: Readonly<Record<DType, number>> = { float32: 1, int32: 3, bool: 10 };

/** What a SavedModel is loaded by. */
export const TAG = 'serve';

/** Version of the meaning of GraphDefs: TensorFlow 2.12 wrote this number, and later versions read it. */
const PRODUCER = 1286;
const MIN_CONSUMER = 12;

/** A SavedModel (saved_model.proto) of the nodes, whose inputs are placeholders: it has no variables and no signatures. */
export function encodeSavedModel(nodes: readonly TensorflowNode[]): Uint8Array {
  const model = new BinaryWriter();
  integer(model, 1, 1);
  message(model, 2, (metaGraph) => {
    message(metaGraph, 1, (info) => text(info, 4, TAG));
    message(metaGraph, 2, (graph) => {
      for (const node of nodes) message(graph, 1, (writer) => encodeNode(writer, node));
      message(graph, 4, (versions) => {
        integer(versions, 1, PRODUCER);
        integer(versions, 2, MIN_CONSUMER);
      });
    });
  });
  return model.finish();
}

function encodeNode(writer: BinaryWriter, { name, operation, inputs, attributes }: TensorflowNode): void {
  text(writer, 1, name);
  text(writer, 2, operation);
  for (const input of inputs) text(writer, 3, input);
  for (const [key, value] of Object.entries(attributes))
    message(writer, 5, (entry) => {
      text(entry, 1, key);
      message(entry, 2, (w) => encodeAttribute(w, value));
    });
}

/** attr_value.proto */
function encodeAttribute(writer: BinaryWriter, attribute: Attribute): void {
  if ('integers' in attribute) message(writer, 1, (list) => packed(list, 3, attribute.integers));
  else if ('text' in attribute) text(writer, 2, attribute.text);
  else if ('integer' in attribute) integer(writer, 3, attribute.integer);
  else if ('bool' in attribute) integer(writer, 5, Number(attribute.bool));
  else if ('type' in attribute) integer(writer, 6, DATA_TYPE[attribute.type]);
  else if ('shape' in attribute) message(writer, 7, (shape) => encodeShape(shape, attribute.shape));
  else message(writer, 8, (tensor) => encodeTensor(tensor, attribute.tensor));
}

function encodeTensor(writer: BinaryWriter, { dtype, shape, raw }: Tensor): void {
  integer(writer, 1, DATA_TYPE[dtype]);
  message(writer, 2, (w) => encodeShape(w, shape));
  writer.tag(4, WireType.LengthDelimited).bytes(raw);
}

function encodeShape(writer: BinaryWriter, shape: readonly number[]): void {
  for (const dimension of shape) message(writer, 2, (w) => integer(w, 1, dimension));
}

function message(writer: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function packed(writer: BinaryWriter, field: number, values: readonly number[]): void {
  message(writer, field, (w) => {
    for (const value of values) w.int64(value);
  });
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}
