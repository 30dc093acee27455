import { isAbsolute } from 'node:path';
import { status } from '@grpc/grpc-js';
import { importers, knownDatasets } from '@jsigr/datasets';
import {
  Dataset,
  type GetDatasetRequest,
  type ImportDatasetRequest,
  type ListDatasetsRequest,
  ListDatasetsResponse,
  type ReadDatasetFileRequest,
  type ReadDatasetFileResponse,
} from '@jsigr/proto';
import {
  type ArtefactStore,
  alreadyExists,
  type ComputeThread,
  invalidArgument,
  JsigrError,
  notFound,
  siblingModule,
  startComputeThread,
} from '@jsigr/service';
import type { Audit } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { TenantLimits } from '../access/limits.ts';
import type { DatasetStore } from '../store/catalogue.ts';
import type { DatasetMethods, MadeDataset } from './dataset-methods.ts';
import { fileChunks } from './file-chunks.ts';
import { idOf, isDatasetId } from './names.ts';
import { Violations } from './violations.ts';

/** How a store says that bytes are not there, or not those that were put. */
const DAMAGE: readonly status[] = [status.NOT_FOUND, status.DATA_LOSS];

/** Datasets by name. Embedded ones are made when they are first needed. */
export class Datasets {
  readonly #store: DatasetStore;
  readonly #artefacts: ArtefactStore;
  readonly #making = new Map<string, Promise<Dataset>>();
  readonly #audit: Audit;
  readonly #limits: TenantLimits;
  #thread: ComputeThread<DatasetMethods> | undefined;

  constructor(
    store: DatasetStore,
    artefacts: ArtefactStore,
    { audit, limits }: { readonly audit: Audit; readonly limits: TenantLimits },
  ) {
    this.#store = store;
    this.#artefacts = artefacts;
    this.#audit = audit;
    this.#limits = limits;
  }

  /** @throws JsigrError NOT_FOUND, listing the names that there are. */
  async get({ name }: GetDatasetRequest): Promise<Dataset> {
    return this.byId(idOf('datasets', name));
  }

  /** Newest first; embedded datasets that were not needed yet come last, without digest. */
  async list(request: ListDatasetsRequest): Promise<ListDatasetsResponse> {
    const { items, nextPageToken } = await this.#store.list(request);
    const made = nextPageToken ? [] : await this.#store.ids();
    const unmade = nextPageToken ? [] : Object.keys(knownDatasets).filter((id) => !made.includes(id));
    return ListDatasetsResponse.fromPartial({ datasets: [...items, ...unmade.map(announced)], nextPageToken });
  }

  /**
   * Importing the same bytes under the same id again gives what is there.
   * @throws JsigrError INVALID_ARGUMENT naming the field; ALREADY_EXISTS
   */
  async import(request: ImportDatasetRequest, caller: Caller): Promise<Dataset> {
    const { datasetId, format, directory } = request;
    const violations = new Violations();
    if (!isDatasetId(datasetId))
      violations.add(
        'datasetId',
        `${JSON.stringify(datasetId.slice(0, 100))} is not 1..63 characters of a-z, 0-9, '-', beginning with a letter`,
      );
    violations.oneOf('format', format, Object.keys(importers));
    if (!isAbsolute(directory)) violations.add('directory', `${JSON.stringify(directory)} is not an absolute path`);
    violations.throwIfAny();
    if (Object.hasOwn(knownDatasets, datasetId))
      throw alreadyExists('dataset', `datasets/${datasetId}`, 'it is embedded; choose another id');
    const made = await this.#call('read', { id: datasetId, format, directory }).catch((error) => {
      const { message, reason } = JsigrError.from(error);
      if (['INTERNAL', 'COMPUTE_THREAD_DIED'].includes(reason)) throw error;
      throw invalidArgument('directory', message);
    });
    const dataset = await this.#keep(datasetId, made, false);
    this.#audit.record(caller, 'jsigr.v1.DatasetService/ImportDataset', dataset.name);
    return dataset;
  }

  /** The bytes of one file, in chunks. */
  async *readFile(
    { name, path, readOffset }: ReadDatasetFileRequest,
    { tenant }: Caller,
  ): AsyncGenerator<ReadDatasetFileResponse> {
    const { digest } = await this.get({ name });
    const chunks = fileChunks(this.#artefacts, 'datasets', digest, path, readOffset);
    yield* this.#limits.during(tenant, 'reads', chunks);
  }

  /** The dataset, in the artefact store; an embedded one is made if need be. @throws JsigrError NOT_FOUND, listing what there is. */
  async byId(id: string): Promise<Dataset> {
    const found = await this.#store.find(id);
    const embedded = Object.hasOwn(knownDatasets, id);
    if (found && (!embedded || (await this.#isWhole(found)))) return found;
    if (embedded) return this.#make(id);
    throw notFound('dataset', `datasets/${id}`, `known: ${(await this.known()).join(', ')}`);
  }

  /** Ids of all datasets. */
  async known(): Promise<string[]> {
    return [...new Set([...Object.keys(knownDatasets), ...(await this.#store.ids())])];
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }

  /** Nobody could put back what is made here: where its bytes are damaged it is made again. */
  async #isWhole({ digest, files }: Dataset): Promise<boolean> {
    try {
      // In a folder a file is verified before any of it is read, its end included.
      for (const { path, sizeBytes } of files)
        for await (const _ of this.#artefacts.read('datasets', digest, path, sizeBytes));
      return true;
    } catch (error) {
      // A store that cannot be read just now says nothing about the bytes.
      if (!DAMAGE.includes(JsigrError.from(error).code)) throw error;
      return false;
    }
  }

  #make(id: string): Promise<Dataset> {
    const making =
      this.#making.get(id) ??
      this.#call('make', id)
        .then((made) => this.#keep(id, made, true))
        .finally(() => this.#making.delete(id));
    this.#making.set(id, making);
    return making;
  }

  async #keep(id: string, { files, input, classNames, parts }: MadeDataset, embedded: boolean): Promise<Dataset> {
    const artefact = await this.#artefacts.put('datasets', files);
    const dataset = Dataset.fromPartial({
      name: `datasets/${id}`,
      digest: artefact.digest,
      input,
      classNames,
      parts,
      files: artefact.files.map((file) => ({ ...file })),
      createTime: new Date(),
      embedded,
    });
    if (await this.#store.add(id, dataset)) return dataset;
    const found = await this.#store.find(id);
    if (found?.digest === artefact.digest) return found;
    throw alreadyExists('dataset', `datasets/${id}`, 'it has other images; choose another id');
  }

  /** The thread is started for the first dataset that is made or read, and ends with the last one. */
  async #call<M extends keyof DatasetMethods>(method: M, argument: DatasetMethods[M]['argument']) {
    this.#thread ??= startComputeThread<DatasetMethods>(siblingModule(import.meta.url, 'dataset-thread'));
    return this.#thread.call(method, argument);
  }
}

/** What is known of an embedded dataset before it is made: a few images say what they look like. */
function announced(id: string): Dataset {
  const known = knownDatasets[id];
  const sample = known?.make({ train: 1, test: 1 });
  return Dataset.fromPartial({
    name: `datasets/${id}`,
    input: [...(sample?.input ?? [])],
    classNames: [...(sample?.classes ?? [])],
    parts: known
      ? (['train', 'test'] as const).map((name) => ({ name, count: known.defaults[name], hasMasks: true }))
      : [],
    embedded: true,
  });
}
