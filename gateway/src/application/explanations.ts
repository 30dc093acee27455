import { status } from '@grpc/grpc-js';
import { MAX_SEED } from '@jsigr/models';
import { ExplainerServiceClient, ExplainRequest, type ExplainResponse, ImageInput } from '@jsigr/proto';
import { methodNamed } from '@jsigr/saliency';
import {
  type ArtefactStore,
  connect,
  invalidArgument,
  JsigrError,
  resourceExhausted,
  unary,
  unavailable,
} from '@jsigr/service';
import type { Caller } from '../access/caller.ts';
import type { TenantLimits } from '../access/limits.ts';
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
const MOST_UINT32 = 2 ** 32 - 1;
/** Requests that wait for the explainer, or are with it. */
const MOST_AT_ONCE = 64;
/** For a call that has no deadline of its own. */
const DEADLINE_MS = 60_000;
/** Nobody is waited for longer, whatever the deadline: a node with a GPU may take minutes to come. */
const MOST_MS = 900_000;
/** Explainers that go away under a request: it changes nothing, so another one may try; but one that ends each of them must come to an end itself. */
const ATTEMPTS = 3;
const CONNECTION_BROKE = 'CONNECTION_BROKE';
/** An explainer that was asked for more models than it can hold says so: it is well, and others wait for it. */
const NOT_LOADED = 'NOT_LOADED';

export interface ExplanationMeans {
  readonly models: Models;
  readonly datasets: Datasets;
  readonly artefacts: ArtefactStore;
  readonly pool: WorkerPool;
  readonly threads: number;
  readonly limits: TenantLimits;
}

/** Explains predictions; starts an explainer when there is none. */
export class Explanations {
  readonly #means: ExplanationMeans;
  #atOnce = 0;

  constructor(means: ExplanationMeans) {
    this.#means = means;
  }

  /** Requests that wait or are computed. */
  get open(): number {
    return this.#atOnce;
  }

  /**
   * @param withinMs what the caller's own deadline leaves; a minute where there is none
   * @throws JsigrError INVALID_ARGUMENT with a violation for each bad field; RESOURCE_EXHAUSTED; DEADLINE_EXCEEDED.
   */
  async explain(
    request: ExplainRequest,
    caller: Caller,
    signal: AbortSignal,
    withinMs = DEADLINE_MS,
  ): Promise<ExplainResponse> {
    if (this.#atOnce >= MOST_AT_ONCE)
      throw resourceExhausted(
        'TOO_MANY_EXPLANATIONS',
        `${this.#atOnce} requests are waiting already`,
        'try again soon',
      );
    const release = this.#means.limits.hold(caller.tenant, 'explanations');
    this.#atOnce++;
    try {
      const late = AbortSignal.timeout(Math.min(withinMs, MOST_MS));
      return await this.#explain(request, caller, AbortSignal.any([signal, late]));
    } finally {
      this.#atOnce--;
      release();
    }
  }

  async #explain(request: ExplainRequest, caller: Caller, signal: AbortSignal): Promise<ExplainResponse> {
    const { models, datasets } = this.#means;
    check(request);
    const model = await models.visibleTo(caller)(request.model, 'model');
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
    for (let attempt = 1; ; attempt++) {
      // What broke the connection is thrown, so that the explainer is discarded.
      const answer = await once().catch(JsigrError.from);
      if (!(answer instanceof JsigrError)) return answer;
      const isGone = answer.reason === 'WORKER_LOST' || answer.reason === CONNECTION_BROKE;
      if (!isGone || attempt === ATTEMPTS || signal.aborted) throw answer;
    }
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
  const client = connect(ExplainerServiceClient, worker);
  const lost = lossOf(worker);
  try {
    const { response } = await unary(client, 'explainImage', call, { signal: AbortSignal.any([signal, lost]) });
    return (
      response ?? new JsigrError({ code: status.INTERNAL, reason: 'NO_ANSWER', message: 'the explainer said nothing' })
    );
  } catch (error) {
    if (signal.aborted) return JsigrError.from(signal.reason);
    const why = await explained(error, lost);
    // The caller has cancelled nothing: a call that was cancelled was cut off by a server that ended.
    const isCut = why.code === status.UNAVAILABLE || why.code === status.CANCELLED;
    if (isBroken(why) && why.reason !== NOT_LOADED) throw isCut ? unavailable(CONNECTION_BROKE, why.message) : why;
    return why;
  } finally {
    client.close();
  }
}

function check({ image, method, settings, overlayScale, seed, target }: ExplainRequest): void {
  const violations = new Violations();
  const found = violations.try('method', () => methodNamed(method || 'gradient', 'method'));
  if (found) checkSettings(found.settings, settings, 'settings', violations);
  violations.integer('overlayScale', overlayScale, 0, MOST_SCALE);
  violations.integer('seed', seed, 0, MAX_SEED);
  if (target !== undefined) violations.integer('target', target, 0, MOST_UINT32);
  // What JSON may hold and the explainer cannot be sent.
  const shape = image?.source?.$case === 'tensor' ? image.source.value.shape : [];
  for (const [i, extent] of shape.entries()) violations.integer(`image.tensor.shape[${i}]`, extent, 0, MOST_UINT32);
  if (!image?.source) violations.add('image', 'is missing: give an encoded image, a tensor or a sample of a dataset');
  violations.throwIfAny();
  if (image?.source?.$case === 'encoded' && image.source.value.length > MOST_IMAGE_BYTES)
    throw invalidArgument(
      'image.encoded',
      `has ${image.source.value.length} bytes, at most ${MOST_IMAGE_BYTES} are allowed`,
    );
}
