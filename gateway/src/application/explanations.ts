import { status } from '@grpc/grpc-js';
import { ExplainerServiceClient, ExplainRequest, type ExplainResponse, ImageInput } from '@jsigr/proto';
import { methodNamed } from '@jsigr/saliency';
import { type ArtefactStore, connect, invalidArgument, JsigrError, resourceExhausted, unary } from '@jsigr/service';
import { explained, isBroken, lossOf } from '../workers/far-side.ts';
import { type Worker, type WorkerPool, withWorker } from '../workers/pool.ts';
import { sampleOf } from './dataset-samples.ts';
import type { Datasets } from './datasets.ts';
import { digestOf, type Models } from './models.ts';
import { idOf } from './names.ts';
import { checkSettings } from './settings.ts';
import { Violations } from './violations.ts';

const MOST_IMAGE_BYTES = 8 * 1024 * 1024;
const MOST_SCALE = 32;
const MAX_SEED = 2 ** 32 - 1;
/** Requests that wait for the explainer, or are with it. */
const MOST_AT_ONCE = 64;
/** For a call that has no deadline of its own. */
const DEADLINE_MS = 60_000;

export interface ExplanationMeans {
  readonly models: Models;
  readonly datasets: Datasets;
  readonly artefacts: ArtefactStore;
  readonly pool: WorkerPool;
  readonly threads: number;
}

/** Explains predictions; starts an explainer when there is none. */
export class Explanations {
  readonly #means: ExplanationMeans;
  #atOnce = 0;

  constructor(means: ExplanationMeans) {
    this.#means = means;
  }

  /** @throws JsigrError INVALID_ARGUMENT with a violation for each bad field; RESOURCE_EXHAUSTED; DEADLINE_EXCEEDED. */
  async explain(request: ExplainRequest, signal: AbortSignal): Promise<ExplainResponse> {
    if (this.#atOnce >= MOST_AT_ONCE)
      throw resourceExhausted(
        'TOO_MANY_EXPLANATIONS',
        `${this.#atOnce} requests are waiting already`,
        'try again soon',
      );
    this.#atOnce++;
    try {
      return await this.#explain(request, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
    } finally {
      this.#atOnce--;
    }
  }

  async #explain(request: ExplainRequest, signal: AbortSignal): Promise<ExplainResponse> {
    const { models, datasets } = this.#means;
    check(request);
    const model = await models.byName(request.model, 'model');
    const image = await this.#image(request.image);
    const dataset = model.dataset
      ? await datasets.byId(idOf('datasets', model.dataset)).catch(() => undefined)
      : undefined;
    const call = {
      request: ExplainRequest.fromPartial({ ...request, image, model: model.name }),
      modelDigest: digestOf(model),
      classNames: dataset?.classNames ?? model.classNames,
    };
    const once = () =>
      withWorker(this.#means.pool, 'explainer', { run: 'Explain', threads: this.#means.threads, signal }, (worker) =>
        explainBy(worker, call, signal),
      );
    const first = await once();
    if (!(first instanceof JsigrError)) return first;
    // The explainer went away under the request: it changes nothing, so another one may try.
    const second = first.reason === 'WORKER_LOST' ? await once() : first;
    if (second instanceof JsigrError) throw second;
    return second;
  }

  /** A sample of a dataset becomes its tensor: the explainer knows no datasets. */
  async #image(image: ImageInput | undefined): Promise<ImageInput | undefined> {
    if (image?.source?.$case !== 'sample') return image;
    const { datasets, artefacts } = this.#means;
    const sample = image.source.value;
    const dataset = await datasets.byId(idOf('datasets', sample.dataset, 'image.sample.dataset'));
    const tensor = await sampleOf(artefacts, dataset, sample, 'image.sample');
    return ImageInput.fromPartial({ source: { $case: 'tensor', value: tensor } });
  }
}

/** The answer, or what the explainer refused: that is no trouble of the worker, which is kept. */
async function explainBy(
  worker: Worker,
  call: Parameters<typeof unary<ExplainerServiceClient, 'explainImage'>>[2],
  signal: AbortSignal,
): Promise<ExplainResponse | JsigrError> {
  const client = connect(ExplainerServiceClient, worker.address);
  const lost = lossOf(worker);
  try {
    const { response } = await unary(client, 'explainImage', call, { signal: AbortSignal.any([signal, lost]) });
    return (
      response ?? new JsigrError({ code: status.INTERNAL, reason: 'NO_ANSWER', message: 'the explainer said nothing' })
    );
  } catch (error) {
    if (signal.aborted) return JsigrError.from(signal.reason);
    const why = await explained(error, lost);
    if (isBroken(why)) throw why;
    return why;
  } finally {
    client.close();
  }
}

function check({ image, method, settings, overlayScale, seed }: ExplainRequest): void {
  const violations = new Violations();
  const found = violations.try('method', () => methodNamed(method || 'gradient', 'method'));
  if (found) checkSettings(found.settings, settings, 'settings', violations);
  violations.integer('overlayScale', overlayScale, 0, MOST_SCALE);
  violations.integer('seed', seed, 0, MAX_SEED);
  if (!image?.source) violations.add('image', 'is missing: give an encoded image, a tensor or a sample of a dataset');
  violations.throwIfAny();
  if (image?.source?.$case === 'encoded' && image.source.value.length > MOST_IMAGE_BYTES)
    throw invalidArgument(
      'image.encoded',
      `has ${image.source.value.length} bytes, at most ${MOST_IMAGE_BYTES} are allowed`,
    );
}
