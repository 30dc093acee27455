import { type HeldOutPart, heldOutBy } from '@jsigr/models';
import {
  type ExportModelRequest,
  type ExportModelResponse,
  type GetModelRequest,
  type ImportModelRequest,
  type ListModelsRequest,
  ListModelsResponse,
  Model,
  ModelFormat,
  type ReadModelFileRequest,
  type ReadModelFileResponse,
} from '@jsigr/proto';
import {
  type ArtefactInfo,
  type ArtefactStore,
  CHUNK_BYTES,
  invalidArgument,
  JsigrError,
  type Logger,
  notFound,
  resourceExhausted,
} from '@jsigr/service';
import * as z from 'zod';
import type { Audit } from '../access/audit.ts';
import { type Caller, visibleTenants } from '../access/caller.ts';
import type { TenantLimits } from '../access/limits.ts';
import type { ModelStore } from '../store/catalogue.ts';
import { persistently } from '../store/database.ts';
import { fileChunks } from './file-chunks.ts';
import { inModelProcess } from './in-model-process.ts';
import { readUpload } from './model-upload.ts';
import { idOf } from './names.ts';

/** Checking a model takes seconds; one that takes longer is made to. */
const IMPORT_MS = 120_000;
const MANIFEST = 'manifest.json';

/** What is read of a manifest: a checkpoint's, or an imported model's, which was not trained here. */
const manifestSchema = z.looseObject({
  model: z.looseObject({
    architecture: z.string(),
    input: z.array(z.int()),
    classes: z.int(),
    activation: z.string().default(''),
    norm: z.string().default(''),
    denoise: z.boolean().default(false),
  }),
  run: z.string().default(''),
  step: z.int().default(0),
  epoch: z.number().default(0),
  dataset: z.looseObject({ name: z.string() }).default({ name: '' }),
  objective: z.looseObject({ name: z.string() }).default({ name: '' }),
  metrics: z.record(z.string(), z.number()).default({}),
  name: z.string().default(''),
  reading: z.looseObject({ producer: z.string() }).default({ producer: '' }),
  labels: z.array(z.string()).default([]),
  remarks: z.array(z.string()).default([]),
  blackBox: z.string().default(''),
});

type Manifest = z.infer<typeof manifestSchema>;

/** Finds a model by its name or a prefix; `field` is what errors name. */
export type ModelFinder = (name: string, field: string) => Promise<Model>;

export interface ModelMeans {
  readonly audit: Audit;
  readonly limits: TenantLimits;
  /** Private networks in which live endpoints may be asked. */
  readonly endpointNetworks: readonly string[];
}

/** Finished checkpoints and imported models by digest. */
export class Models {
  readonly #store: ModelStore;
  readonly #artefacts: ArtefactStore;
  readonly #audit: Audit;
  readonly #limits: TenantLimits;
  readonly #endpointNetworks: readonly string[];

  constructor(store: ModelStore, artefacts: ArtefactStore, { audit, limits, endpointNetworks }: ModelMeans) {
    this.#store = store;
    this.#artefacts = artefacts;
    this.#audit = audit;
    this.#limits = limits;
    this.#endpointNetworks = endpointNetworks;
  }

  get({ name }: GetModelRequest, caller: Caller): Promise<Model> {
    return this.visibleTo(caller)(name, 'name');
  }

  /** Finds models among those that the caller sees. */
  visibleTo(caller: Caller): ModelFinder {
    return (name, field) => this.byName(name, field, visibleTenants(caller));
  }

  /**
   * @param name models/{digest}, or a prefix of it that names one model
   * @param tenants among whose models; all unless told
   * @throws JsigrError INVALID_ARGUMENT, NOT_FOUND
   */
  async byName(name: string, field = 'name', tenants?: readonly string[]): Promise<Model> {
    const digits = idOf('models', name, field);
    const [model, other] = await this.#store.startingWith(digits, tenants);
    if (model && other)
      throw invalidArgument(field, `${name} names more than one model, ${model.name} and ${other.name} among them`);
    if (model) return model;
    throw notFound('model', name, 'ListModels shows what there is');
  }

  /** What a model's training held out; undefined where that is not known, or the model's files are not at hand: the trainer looks again. */
  async heldOutBy(model: Model): Promise<HeldOutPart | undefined> {
    return this.#manifestAsItIs(digestOf(model)).then(heldOutBy, () => undefined);
  }

  async list({ trainingRun, ...page }: ListModelsRequest, caller: Caller): Promise<ListModelsResponse> {
    const run = trainingRun ? idOf('trainingRuns', trainingRun, 'trainingRun') : '';
    const { items, nextPageToken } = await this.#store.list(run, page, visibleTenants(caller));
    return ListModelsResponse.fromPartial({ models: [...items], nextPageToken });
  }

  async *readFile(request: ReadModelFileRequest, caller: Caller): AsyncGenerator<ReadModelFileResponse> {
    const { path, readOffset } = request;
    const model = await this.get(request, caller);
    const chunks = fileChunks(this.#artefacts, 'models', digestOf(model), path, readOffset);
    yield* this.#limits.during(caller.tenant, 'reads', chunks);
  }

  /** @throws JsigrError INVALID_ARGUMENT for a format that is not known. */
  async *export(request: ExportModelRequest, caller: Caller): AsyncGenerator<ExportModelResponse> {
    const { format } = request;
    const model = await this.get(request, caller);
    if (format !== ModelFormat.MODEL_FORMAT_ONNX)
      throw invalidArgument('format', `${format} given, MODEL_FORMAT_ONNX allowed`);
    const digest = digestOf(model);
    const release = this.#limits.hold(caller.tenant, 'transfers');
    try {
      const { file } = await inModelProcess('toOnnx', { digest, files: await this.#artefacts.get('models', digest) });
      for (let offset = 0; offset < file.length; offset += CHUNK_BYTES)
        yield { data: Buffer.from(file.subarray(offset, offset + CHUNK_BYTES)) };
    } finally {
      release();
    }
  }

  /**
   * Checks somebody else's model and keeps it.
   * @param gone aborted when nobody waits for it any more
   * @throws JsigrError INVALID_ARGUMENT naming the field, or the operator that is not known; RESOURCE_EXHAUSTED MODEL_TOO_SLOW, MODEL_TOO_LARGE
   */
  async import(messages: AsyncIterable<ImportModelRequest>, caller: Caller, gone: AbortSignal): Promise<Model> {
    const release = this.#limits.hold(caller.tenant, 'transfers');
    const upload = await readUpload(messages).catch((error) => {
      release();
      throw error;
    });
    try {
      const foreign = { ...upload, endpointNetworks: this.#endpointNetworks };
      const tooLong = AbortSignal.timeout(IMPORT_MS);
      const signal = AbortSignal.any([tooLong, gone]);
      const { files } = await inModelProcess('fromForeign', foreign, { signal }).catch((error) => {
        if (!tooLong.aborted) throw error;
        throw resourceExhausted('MODEL_TOO_SLOW', `the model was not checked on 4 images within ${IMPORT_MS / 1000} s`);
      });
      const { digest } = await this.#artefacts.put('models', files);
      await persistently(() => this.record(digest, caller.tenant));
      const name = `models/${digest}`;
      this.#audit.record(caller, 'jsigr.v1.ModelService/ImportModel', name);
      return await this.get({ name }, caller);
    } finally {
      release();
    }
  }

  /**
   * Enters a checkpoint that is in the artefact store.
   * @param tenant of a model that no run made; the others belong to the tenant of their run
   * @throws JsigrError when it is not there, or its manifest makes no sense.
   */
  async record(digest: string, tenant?: string): Promise<void> {
    await this.#record(await this.#artefacts.info('models', digest), await this.#manifest(digest), tenant);
  }

  /**
   * Enters what the artefact store has and the list has not: checkpoints that were saved just before a crash. Not models whose import broke off:
   * whose they are is not known. They are listed once their import is made again.
   */
  async recoverAll(logger: Logger): Promise<void> {
    const known = await this.#store.digests();
    const artefacts = await this.#artefacts.list('models');
    for (const { digest } of artefacts.filter((each) => !known.has(each.digest)).reverse())
      await this.#recover(digest).catch((error) =>
        logger.warn({ digest }, `a checkpoint cannot be listed: ${JsigrError.from(error).message}`),
      );
  }

  async #recover(digest: string): Promise<void> {
    const manifest = await this.#manifest(digest);
    if (manifest.run) await this.#record(await this.#artefacts.info('models', digest), manifest);
  }

  async #manifest(digest: string): Promise<Manifest> {
    return manifestSchema.parse(await this.#manifestAsItIs(digest));
  }

  async #manifestAsItIs(digest: string): Promise<unknown> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#artefacts.read('models', digest, MANIFEST)) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks).toString());
  }

  async #record({ digest, files, createTime }: ArtefactInfo, manifest: Manifest, tenant?: string): Promise<void> {
    const { run, step, epoch, model, dataset, objective, metrics } = manifest;
    const entry = Model.fromPartial({
      name: `models/${digest}`,
      ...model,
      dataset: resource('datasets', dataset.name),
      trainingRun: resource('trainingRuns', run),
      objective: objective.name,
      step,
      epoch: Math.floor(epoch),
      metrics: Object.entries(metrics).map(([name, value]) => ({ name, value })),
      files: files.map((file) => ({ ...file })),
      createTime,
      displayName: manifest.name,
      producer: manifest.reading.producer,
      classNames: manifest.labels,
      remarks: manifest.remarks,
      blackBox: manifest.blackBox,
    });
    await this.#store.add(digest, entry.trainingRun.replace('trainingRuns/', ''), entry, tenant);
  }
}

export function digestOf({ name }: Model): string {
  return name.replace('models/', '');
}

function resource(collection: string, name: string): string {
  return name === '' || name.startsWith(`${collection}/`) ? name : `${collection}/${name}`;
}
