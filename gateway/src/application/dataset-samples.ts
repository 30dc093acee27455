import type { Dataset, DatasetSample, FloatTensor } from '@jsigr/proto';
import { type ArtefactStore, invalidArgument } from '@jsigr/service';
import * as z from 'zod';

const DATA = 'data.safetensors';
const MOST_HEADER_BYTES = 1_000_000;
const headerSchema = z.record(z.string(), z.looseObject({ data_offsets: z.tuple([z.int(), z.int()]).optional() }));

/**
 * One image of a dataset as `[height, width, channels]` in [0,1], without reading the others.
 * @param sample its part may be empty: test.
 * @throws JsigrError INVALID_ARGUMENT for a part or an index that there is not.
 */
export async function sampleOf(
  artefacts: ArtefactStore,
  { digest, input, parts }: Dataset,
  { part, index }: Pick<DatasetSample, 'part' | 'index'>,
  field: string,
): Promise<FloatTensor> {
  const name = part || 'test';
  const found = parts.find((each) => each.name === name);
  if (!found)
    throw invalidArgument(
      `${field}.part`,
      `${JSON.stringify(name)} given, ${parts.map((each) => each.name).join(', ')} allowed`,
    );
  if (!Number.isInteger(index) || index < 0 || index >= found.count)
    throw invalidArgument(`${field}.index`, `${index} given, 0 to ${found.count - 1} allowed`);
  const size = input.reduce((product, side) => product * side, 1);
  const start = await tensorStart(artefacts, digest, `${name}.images`);
  const bytes = await readBytes(artefacts, digest, start + index * size, size);
  const data = Buffer.alloc(size * 4);
  bytes.forEach((byte, i) => {
    data.writeFloatLE(byte / 255, i * 4);
  });
  return { shape: [...input], data };
}

/** Where a tensor begins in the file: safetensors has the header's length in 8 bytes, the header, and then the tensors. */
async function tensorStart(artefacts: ArtefactStore, digest: string, tensor: string): Promise<number> {
  const length = Number((await readBytes(artefacts, digest, 0, 8)).readBigUInt64LE());
  if (length > MOST_HEADER_BYTES) throw new Error(`the header of ${DATA} has ${length} bytes`);
  const header = headerSchema.parse(JSON.parse((await readBytes(artefacts, digest, 8, length)).toString()));
  const offsets = header[tensor]?.data_offsets;
  if (!offsets) throw new Error(`${DATA} has no ${tensor}`);
  return 8 + length + offsets[0];
}

async function readBytes(artefacts: ArtefactStore, digest: string, offset: number, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let missing = count;
  for await (const chunk of artefacts.read('datasets', digest, DATA, offset, Math.max(count, 1))) {
    chunks.push(chunk.subarray(0, missing));
    missing -= chunk.length;
    if (missing <= 0) break;
  }
  return Buffer.concat(chunks);
}
