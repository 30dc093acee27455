import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { ImportDatasetRequest } from '@jsigr/proto';
import { directoryArtefactStore, JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { LOCAL } from '../access/caller.ts';
import { TenantLimits } from '../access/limits.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { type TestGateway, testGateway } from '../testing/gateway.ts';
import { Datasets } from './datasets.ts';

let store: Store;
let gateway: TestGateway;
let datasets: Datasets;
let folder: string;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  datasets = gateway.application.datasets;
  folder = await mkdtemp(join(tmpdir(), 'jsigr-import-'));
  await writeFile(join(folder, 'train-images-idx3-ubyte'), idx([4, 2, 3], 7));
  await writeFile(join(folder, 'train-labels-idx1-ubyte'), idx([4], 0));
  await writeFile(join(folder, 't10k-images-idx3-ubyte'), idx([2, 2, 3], 9));
  await writeFile(join(folder, 't10k-labels-idx1-ubyte'), idx([2], 1));
}, OPENING_MS);
afterAll(async () => {
  await rm(folder, { recursive: true });
  await gateway.close();
  await store.close();
});

/** An IDX file: two zero bytes, the type (8: unsigned bytes), the number of dimensions, each as big-endian u32, the data. */
function idx(shape: readonly number[], value: number): Buffer {
  const sizes = Buffer.alloc(4 * shape.length);
  shape.forEach((size, i) => {
    sizes.writeUInt32BE(size, 4 * i);
  });
  const count = shape.reduce((product, size) => product * size, 1);
  return Buffer.concat([Buffer.from([0, 0, 8, shape.length]), sizes, Buffer.alloc(count, value)]);
}

const read = (request: Partial<ImportDatasetRequest>) =>
  datasets.import(
    ImportDatasetRequest.fromPartial({ datasetId: 'mine', format: 'mnist', directory: folder, ...request }),
    LOCAL,
  );
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

describe('datasets', () => {
  test('are imported into one form, listed, and read in chunks', async () => {
    const dataset = await read({});
    expect(dataset).toMatchObject({ name: 'datasets/mine', input: [2, 3, 1], embedded: false });
    expect(dataset.parts).toMatchObject([
      { name: 'train', count: 4, classCounts: [4, 0, 0, 0, 0, 0, 0, 0, 0, 0], mean: [7 / 255], hasMasks: false },
      { name: 'test', count: 2, classCounts: [0, 2, 0, 0, 0, 0, 0, 0, 0, 0], mean: [9 / 255] },
    ]);
    expect(await datasets.get({ name: 'datasets/mine' })).toEqual(dataset);
    expect((await read({})).createTime).toEqual(dataset.createTime);
    const manifest: Buffer[] = [];
    const file = { name: 'datasets/mine', path: 'manifest.json', readOffset: 0 };
    for await (const { data } of datasets.readFile(file, LOCAL)) manifest.push(data);
    expect(JSON.parse(Buffer.concat(manifest).toString())).toMatchObject({ name: 'mine', input: [2, 3, 1] });
    const { datasets: listed } = await datasets.list({ pageSize: 0, pageToken: '' });
    expect(listed.map(({ name, digest }) => [name, digest !== ''])).toEqual([
      ['datasets/mine', true],
      ['datasets/tiny', true],
      ['datasets/glyphs', false],
      ['datasets/glyphs-color', false],
    ]);
  });

  const refused: [string, Partial<ImportDatasetRequest>, string, RegExp][] = [
    ['an id with capitals', { datasetId: 'Mine' }, 'datasetId', /a-z/],
    ['an unknown format', { format: 'imagenet' }, 'format', /mnist, cifar10 allowed/],
    ['a relative folder', { directory: 'data' }, 'directory', /not an absolute path/],
    ['a folder that there is not', { directory: '/nowhere' }, 'directory', /train-images.*is not in \/nowhere/],
  ];
  for (const [what, request, field, says] of refused)
    test(`are refused: ${what}`, async () => {
      const { violations } = await failure(read(request));
      expect(violations.map((violation) => violation.field)).toEqual([field]);
      expect(violations[0]?.description).toMatch(says);
    });

  test('do not take the name of another one', async () => {
    expect(await failure(read({ datasetId: 'tiny' }))).toMatchObject({ reason: 'DATASET_ALREADY_EXISTS' });
    expect(await failure(read({ datasetId: 'glyphs' }))).toMatchObject({ reason: 'DATASET_ALREADY_EXISTS' });
  });

  test('that are not there are said to be, with those that are', async () => {
    expect(await failure(datasets.get({ name: 'datasets/nope' }))).toMatchObject({
      reason: 'DATASET_NOT_FOUND',
      hint: expect.stringContaining('glyphs, glyphs-color'),
    });
  });

  test('that are embedded are made again when their bytes are damaged', async () => {
    const artefacts = join(folder, 'artefacts');
    const embedded = new Datasets(store.datasets, directoryArtefactStore(artefacts), {
      audit: gateway.audit,
      limits: new TenantLimits(),
    });
    const made = await embedded.byId('glyphs');
    const file = join(artefacts, 'datasets', made.digest, made.files.at(-1)?.path ?? '');
    await truncate(file, 1000);
    expect(await embedded.byId('glyphs')).toEqual(made);
    expect((await stat(file)).size).toBe(made.files.at(-1)?.sizeBytes);
    await embedded.close();
  }, 60_000);

  test('that are embedded are not made again because their store fails just now', async () => {
    const artefacts = directoryArtefactStore(join(folder, 'failing'));
    const embedded = new Datasets(store.datasets, artefacts, { audit: gateway.audit, limits: new TenantLimits() });
    await embedded.byId('glyphs');
    const put = vi.spyOn(artefacts, 'put');
    vi.spyOn(artefacts, 'read').mockImplementation(() => {
      throw new JsigrError({ code: status.INTERNAL, reason: 'STORE_FAILED', message: 'too many open files' });
    });
    expect(await failure(embedded.byId('glyphs'))).toMatchObject({ reason: 'STORE_FAILED' });
    expect(put).not.toHaveBeenCalled();
    await embedded.close();
  }, 60_000);
});
