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
  siblingModule,
  startComputeThread,
} from '@jsigr/service';
import * as z from 'zod';
import type { ModelStore } from '../store/catalogue.ts';
import { fileChunks } from './file-chunks.ts';
import type { ModelMethods } from './model-methods.ts';
import { readUpload } from './model-upload.ts';
import { idOf } from './names.ts';

const MANIFEST = 'manifest.json';

/** What is read of a manifest: a checkpoint's, or an imported model's, which was not trained here. */
const manifestSchema = z.looseObject({
  model: z.looseObject({ architecture: z.string(), input: z.array(z.int()), classes: z.int() }),
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
});

/** Finished checkpoints and imported models by digest. */
export class Models {
  readonly #store: ModelStore;
  readonly #artefacts: ArtefactStore;

  constructor(store: ModelStore, artefacts: ArtefactStore) {
    this.#store = store;
    this.#artefacts = artefacts;
  }

  get({ name }: GetModelRequest): Promise<Model> {
    return this.byName(name);
  }

  /** @param name models/{digest}, or a prefix of it that names one model. @throws JsigrError INVALID_ARGUMENT, NOT_FOUND */
  async byName(name: string, field = 'name'): Promise<Model> {
    const digits = idOf('models', name, field);
    const [model, other] = await this.#store.startingWith(digits);
    if (model && other)
      throw invalidArgument(field, `${name} names more than one model, ${model.name} and ${other.name} among them`);
    if (model) return model;
    throw notFound('model', name, 'ListModels shows what there is');
  }

  async list({ trainingRun, ...page }: ListModelsRequest): Promise<ListModelsResponse> {
    const run = trainingRun ? idOf('trainingRuns', trainingRun, 'trainingRun') : '';
    const { items, nextPageToken } = await this.#store.list(run, page);
    return ListModelsResponse.fromPartial({ models: [...items], nextPageToken });
  }

  async *readFile({ name, path, readOffset }: ReadModelFileRequest): AsyncGenerator<ReadModelFileResponse> {
    const model = await this.byName(name);
    yield* fileChunks(this.#artefacts, 'models', digestOf(model), path, readOffset);
  }

  /** @throws JsigrError INVALID_ARGUMENT for a format that is not known. */
  async *export({ name, format }: ExportModelRequest): AsyncGenerator<ExportModelResponse> {
    const model = await this.byName(name);
    if (format !== ModelFormat.MODEL_FORMAT_ONNX)
      throw invalidArgument('format', `${format} given, MODEL_FORMAT_ONNX allowed`);
    const digest = digestOf(model);
    // A thread of its own for each export: they are rare, and what tracing loads is gone afterwards.
    const thread = startComputeThread<ModelMethods>(siblingModule(import.meta.url, 'model-thread'));
    try {
      const { file } = await thread.call('toOnnx', { digest, files: await this.#artefacts.get('models', digest) });
      for (let offset = 0; offset < file.length; offset += CHUNK_BYTES)
        yield { data: Buffer.from(file.subarray(offset, offset + CHUNK_BYTES)) };
    } finally {
      await thread.close();
    }
  }

  /** Checks somebody else's model and keeps it. @throws JsigrError INVALID_ARGUMENT naming the field, or the operator that is not known */
  async import(messages: AsyncIterable<ImportModelRequest>): Promise<Model> {
    const upload = await readUpload(messages);
    const thread = startComputeThread<ModelMethods>(siblingModule(import.meta.url, 'model-thread'));
    try {
      const { files } = await thread.call('fromForeign', upload);
      const { digest } = await this.#artefacts.put('models', files);
      await this.record(digest);
      return await this.byName(`models/${digest}`);
    } finally {
      await thread.close();
    }
  }

  /** Enters a checkpoint that is in the artefact store. @throws JsigrError when it is not there, or its manifest makes no sense. */
  async record(digest: string): Promise<void> {
    await this.#record(await this.#artefacts.info('models', digest));
  }

  /** Enters what the artefact store has and the list has not: checkpoints that were saved just before a crash. */
  async recoverAll(logger: Logger): Promise<void> {
    const known = await this.#store.digests();
    const artefacts = await this.#artefacts.list('models');
    for (const artefact of artefacts.filter(({ digest }) => !known.has(digest)).reverse())
      await this.#record(artefact).catch((error) =>
        logger.warn({ digest: artefact.digest }, `a checkpoint cannot be listed: ${JsigrError.from(error).message}`),
      );
  }

  async #record({ digest, files, createTime }: ArtefactInfo): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#artefacts.read('models', digest, MANIFEST)) chunks.push(chunk);
    const manifest = manifestSchema.parse(JSON.parse(Buffer.concat(chunks).toString()));
    const { run, step, epoch, model, dataset, objective, metrics } = manifest;
    const entry = Model.fromPartial({
      name: `models/${digest}`,
      architecture: model.architecture,
      input: model.input,
      classes: model.classes,
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
    });
    await this.#store.add(digest, entry.trainingRun.replace('trainingRuns/', ''), entry);
  }
}

export function digestOf({ name }: Model): string {
  return name.replace('models/', '');
}

function resource(collection: string, name: string): string {
  return name === '' || name.startsWith(`${collection}/`) ? name : `${collection}/${name}`;
}
