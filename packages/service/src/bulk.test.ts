import {
  type CheckpointChunk,
  ModelServiceService,
  ReadModelFileResponse,
  StreamCheckpointsResponse,
  TrainerServiceService,
} from '@jsigr/proto';
import { describe, expect, test } from 'vitest';
import { withBulkAnswers } from './bulk.ts';

const [trainer, models] = [TrainerServiceService, ModelServiceService].map(withBulkAnswers);
const written = (definition: typeof trainer, method: string, message: unknown) =>
  definition?.[method]?.responseSerialize(message) ?? Buffer.alloc(0);

/** Lengths around those where the prefix grows by a byte. */
const LENGTHS = [0, 1, 127, 128, 129, 16_383, 16_384, 2 ** 18, 2 ** 21 - 1, 2 ** 21];
const bytes = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 31) & 255));

describe('answers that are files', () => {
  test.each(LENGTHS)('read as the generated code reads them: %i bytes', (length) => {
    const chunk: CheckpointChunk = { path: 'weights.safetensors', offset: 2 ** 40, data: bytes(length) };
    const checkpoint = { part: { $case: 'chunk', value: chunk } } as const;
    const { part } = StreamCheckpointsResponse.decode(written(trainer, 'streamCheckpoints', checkpoint));
    if (part?.$case !== 'chunk') throw new Error('it is no chunk');
    expect(part.value).toMatchObject({ path: chunk.path, offset: chunk.offset });
    // Not `toEqual`, which takes seconds for so many bytes.
    expect(part.value.data.equals(chunk.data)).toBe(true);
    const file = { offset: 7, data: bytes(length) };
    const read = ReadModelFileResponse.decode(written(models, 'readModelFile', file));
    expect(read.offset).toBe(file.offset);
    expect(read.data.equals(file.data)).toBe(true);
  });

  test('are longer than the generated code writes them by nothing', () => {
    const file = { offset: 7, data: bytes(1000) };
    expect(written(models, 'readModelFile', file).length).toBe(ReadModelFileResponse.encode(file).finish().length);
  });

  test('leave the other parts of a checkpoint alone', () => {
    const end = { part: { $case: 'endOfCheckpoint', value: 3 } } as const;
    expect(StreamCheckpointsResponse.decode(written(trainer, 'streamCheckpoints', end))).toEqual(end);
  });

  test('leave methods alone that send no files', () => {
    expect(models?.getModel).toBe(ModelServiceService.getModel);
  });

  test('go on after memory was collected', () => {
    const file = { offset: 0, data: bytes(2 ** 21) };
    for (let i = 0; i < 12; i++)
      expect(ReadModelFileResponse.decode(written(models, 'readModelFile', { ...file, offset: i })).offset).toBe(i);
  });
});
