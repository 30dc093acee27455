import type { Dataset } from '@jsigr/proto';
import { failedPrecondition, serverStream } from '@jsigr/service/client';
import type { Session } from '../session.ts';

/** One part of a dataset, as far as pictures need it. */
export interface DatasetPart {
  readonly count: number;
  /** `[height, width, channels]` */
  readonly shape: readonly number[];
  /** The sample's pixels, in [0,1]. */
  readonly image: (index: number) => Float32Array;
  readonly label: (index: number) => number;
  /** `[height, width]`, 1 on the pixels that make the class; absent where the dataset does not know. */
  readonly mask?: (index: number) => Uint8Array;
}

/** Fetches the test part through the gateway. */
export async function readTestPart(session: Session, dataset: Dataset): Promise<DatasetPart> {
  const chunks: Uint8Array[] = [];
  const request = { name: dataset.name, path: 'data.safetensors', readOffset: 0 };
  for await (const { data } of serverStream(session.datasets, 'readDatasetFile', request)) chunks.push(data);
  return partOf(Buffer.concat(chunks), dataset.input);
}

/** The test part from a dataset's file: `test.images` [count, height, width, channels], `test.labels` [count], perhaps `test.masks`, all uint8. */
export function partOf(file: Buffer, shape: readonly number[]): DatasetPart {
  const tensors = readBytes(file);
  const images = tensors['test.images'];
  const labels = tensors['test.labels'];
  if (!images || !labels) throw failedPrecondition('MALFORMED_DATASET', 'the test part has no images or no labels');
  const [height = 0, width = 0, channels = 0] = shape;
  const size = height * width * channels;
  const part = {
    count: labels.length,
    shape,
    image: (index: number) =>
      Float32Array.from(images.subarray(index * size, (index + 1) * size), (byte) => byte / 255),
    label: (index: number) => labels[index] ?? 0,
  };
  const masks = tensors['test.masks'];
  if (!masks) return part;
  return { ...part, mask: (index) => masks.subarray(index * height * width, (index + 1) * height * width) };
}

interface Entry {
  readonly dtype: string;
  readonly data_offsets: readonly [begin: number, end: number];
}

// The gateway verified the file; this reads what the pictures need of it and leaves checking of formats to the packages that own them.
function readBytes(file: Buffer): Record<string, Uint8Array | undefined> {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>;
  const described = Object.entries(header).filter(([name, { dtype }]) => name !== '__metadata__' && dtype === 'U8');
  return Object.fromEntries(
    described.map(
      ([
        name,
        {
          data_offsets: [begin, end],
        },
      ]) => [name, file.subarray(start + begin, start + end)],
    ),
  );
}
