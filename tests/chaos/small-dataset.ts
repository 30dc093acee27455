import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { glyphs, type Split } from '@jsigr/datasets';
import { DatasetServiceClient } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';

/** Of the dataset that `importSmall` makes: small, so that hundreds of runs fit into half an hour. */
export const SMALL = 'datasets/small-glyphs';
const [WHOLE, SIDE] = [28, 14];

/** @param folder on the gateway's machine, for the files that are imported */
export async function importSmall(address: string, folder: string): Promise<void> {
  const { train, test } = glyphs({ variant: 'gray28', seed: 1, train: 1500, test: 300 });
  mkdirSync(folder, { recursive: true });
  writeIdx(folder, 'train', halved(train));
  writeIdx(folder, 't10k', halved(test));
  const client = connect(DatasetServiceClient, { address });
  const datasetId = SMALL.replace('datasets/', '');
  await unary(client, 'importDataset', { datasetId, format: 'mnist', directory: folder });
  client.close();
}

/** Every second pixel of every second row: checkpoints of a network for so few pixels are small, and hundreds of runs leave thousands. */
function halved({ images, count, ...split }: Split): Split {
  const half = Uint8Array.from({ length: count * SIDE * SIDE }, (_, i) => {
    const [column, row, image] = [i % SIDE, Math.floor(i / SIDE) % SIDE, Math.floor(i / SIDE ** 2)];
    return images[image * WHOLE ** 2 + 2 * row * WHOLE + 2 * column] ?? 0;
  });
  return { ...split, images: half, count };
}

/** As MNIST's own files are: big-endian sizes, then bytes. */
function writeIdx(folder: string, part: string, { images, labels, count }: Split): void {
  const head = (type: number, ...sizes: number[]) => Buffer.from(new Uint32Array([type, ...sizes]).buffer).swap32();
  writeFileSync(join(folder, `${part}-images-idx3-ubyte`), Buffer.concat([head(0x803, count, SIDE, SIDE), images]));
  writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), Buffer.concat([head(0x801, count), labels]));
}
