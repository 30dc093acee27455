import type { ServiceDefinition } from '@grpc/grpc-js';
import {
  CheckpointChunk,
  ExportModelResponse,
  ReadDatasetFileResponse,
  ReadEvaluationFileResponse,
  ReadModelFileResponse,
  StreamCheckpointsResponse,
} from '@jsigr/proto';
import { giveBackBuffer } from './lent-buffers.ts';
import { collectGarbage } from './memory.ts';

interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
}

const NOTHING = Buffer.alloc(0);

/**
 * A message whose `data` is most of it: the bytes are put behind the other fields once, where the generated writer copies them four times. Fields may
 * come in any order, so readers see no difference.
 * @param field number of `data`
 */
function encodeBulk<T extends { readonly data: Uint8Array }>(
  type: MessageType<T>,
  field: number,
  message: T,
): Uint8Array[] {
  const { data } = message;
  if (data.length === 0) return [type.encode(message).finish()];
  return [type.encode({ ...message, data: NOTHING }).finish(), lengthPrefix(field, data.length), data];
}

const MOST_SCRATCH = 4 * 1024 * 1024;
let scratch = Buffer.alloc(0);

/** In one buffer, which the next message is written into as well: grpc-js copies what a serializer returns before it asks for another. */
function joined(pieces: readonly Uint8Array[]): Buffer {
  const length = pieces.reduce((sum, bytes) => sum + bytes.length, 0);
  if (length > MOST_SCRATCH) return Buffer.concat(pieces);
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const bytes of pieces) {
    scratch.set(bytes, at);
    at += bytes.length;
  }
  return scratch.subarray(0, length);
}

/** Tag and length of a field of bytes or of a message. */
function lengthPrefix(field: number, length: number): Uint8Array {
  const bytes = [(field << 3) | 2];
  let rest = length;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest & 127) | 128);
  return Uint8Array.from([...bytes, rest]);
}

function flat<T extends { readonly data: Uint8Array }>(type: MessageType<T>, field: number) {
  return (message: T) => written(message.data, encodeBulk(type, field, message));
}

function checkpoint(message: StreamCheckpointsResponse): Buffer {
  const { part } = message;
  if (part?.$case !== 'chunk') return Buffer.from(StreamCheckpointsResponse.encode(message).finish());
  const chunk = encodeBulk(CheckpointChunk, 3, part.value);
  const length = chunk.reduce((sum, bytes) => sum + bytes.length, 0);
  return written(part.value.data, [lengthPrefix(2, length), ...chunk]);
}

function written(data: Uint8Array, pieces: readonly Uint8Array[]): Buffer {
  const bytes = joined(pieces);
  giveBackBuffer(data);
  return bytes;
}

/** Methods that send files, and how their answers are written. */
const serializers: Readonly<Record<string, (message: never) => Buffer>> = {
  '/jsigr.v1.TrainerService/StreamCheckpoints': checkpoint,
  '/jsigr.v1.ModelService/ReadModelFile': flat(ReadModelFileResponse, 2),
  '/jsigr.v1.ModelService/ExportModel': flat(ExportModelResponse, 1),
  '/jsigr.v1.DatasetService/ReadDatasetFile': flat(ReadDatasetFileResponse, 2),
  '/jsigr.v1.EvaluationService/ReadEvaluationFile': flat(ReadEvaluationFileResponse, 2),
};

/** So many bytes are sent between two collections. */
const COLLECT_BYTES = 2 * 1024 * 1024;
let sent = 0;

/**
 * V8 looks after buffers that died only once 64 MiB of them lie about, because the objects that hold them are small. A sender of large files makes one
 * byte of them for each byte. Scavenges (half a millisecond) keep its memory down, and keep V8 from marking its whole heap instead, which it does to two
 * thirds of the speed when they come only every 8 MiB.
 */
function collectAfter(bytes: number): void {
  sent += bytes;
  if (sent < COLLECT_BYTES) return;
  sent = 0;
  collectGarbage({ type: 'minor' });
}

/** The definition with those of its answers that are files written faster. */
export function withBulkAnswers(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]) => {
    const serialize = serializers[method.path];
    if (!serialize) return [name, method];
    const responseSerialize = (message: never) => {
      const bytes = serialize(message);
      collectAfter(bytes.length);
      return bytes;
    };
    return [name, { ...method, responseSerialize }];
  });
  return Object.fromEntries(methods) as ServiceDefinition;
}
