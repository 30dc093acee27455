import { ExplainedOutput, type ExplainImageRequest, ExplainResponse } from '@jsigr/proto';
import {
  type ComputeThread,
  inSpan,
  invalidArgument,
  settingsFromText,
  siblingModule,
  startComputeThread,
  type WorkerContext,
} from '@jsigr/service';
import { movable } from '@jsigr/service/compute';
import { imageOf } from './image.ts';
import type { ExplainArgument, ExplainerMethods, ExplainerThreadData, ExplainResult, ModelCard } from './methods.ts';

const DEFAULT_SCALE = 8;
const LARGEST_SCALE = 32;

const outputs: Partial<Record<ExplainedOutput, ExplainArgument['output']>> = {
  [ExplainedOutput.EXPLAINED_OUTPUT_UNSPECIFIED]: 'logit',
  [ExplainedOutput.EXPLAINED_OUTPUT_LOGIT]: 'logit',
  [ExplainedOutput.EXPLAINED_OUTPUT_PROBABILITY]: 'probability',
  [ExplainedOutput.EXPLAINED_OUTPUT_LOSS]: 'loss',
};

/** Explains one image a request; images of requests that come together are computed together. */
export class Explainer {
  readonly #context: WorkerContext;
  readonly #thread: ComputeThread<ExplainerMethods>;
  /** Models on their way to the thread: two requests for one model fetch it once. */
  readonly #loading = new Map<string, Promise<ModelCard>>();

  constructor(context: WorkerContext) {
    this.#context = context;
    const { compute, silenceMs } = context;
    const data: ExplainerThreadData = compute;
    const url = siblingModule(import.meta.url, 'compute');
    this.#thread = startComputeThread<ExplainerMethods>(url, { data, silenceMs });
    context.onDrain(() => context.load.none());
    context.signal.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** @throws JsigrError INVALID_ARGUMENT naming `image`, `target`, `output`, `overlayScale`, `method` or `settings.*`; NOT_FOUND for the model. */
  explain({ request, modelDigest, classNames }: ExplainImageRequest, signal: AbortSignal): Promise<ExplainResponse> {
    return this.#context.load.during(async () => {
      if (!request) throw invalidArgument('request', 'is missing');
      const scale = overlayScale(request.overlayScale);
      const output = outputs[request.output];
      if (!output) throw invalidArgument('output', `${request.output} is not known; logit, probability or loss are`);
      const card = await this.#load(modelDigest);
      const { target } = request;
      if (target !== undefined && target >= card.classes)
        throw invalidArgument('target', `${target} given, 0 to ${card.classes - 1} allowed`);
      const method = request.method || 'gradient';
      const attributes = { 'jsigr.model': `models/${modelDigest}`, 'jsigr.method': method };
      const image = await imageOf(request.image, card.input);
      const explain = () =>
        this.#thread.call(
          'explain',
          {
            model: modelDigest,
            image,
            method,
            settings: settingsFromText(request.settings),
            output,
            seed: request.seed,
            ...(target === undefined ? {} : { target }),
            ...(request.overlay ? { overlayScale: scale } : {}),
          },
          { signal: AbortSignal.any([signal, this.#context.signal]) },
        );
      const result = await inSpan('explain', { attributes }, explain);
      return response(result, card, classNames);
    });
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  async #load(digest: string): Promise<ModelCard> {
    const known = await this.#thread.call('describe', digest);
    if (known) return known;
    const loading = this.#loading.get(digest) ?? this.#fetch(digest).finally(() => this.#loading.delete(digest));
    this.#loading.set(digest, loading);
    return loading;
  }

  async #fetch(digest: string): Promise<ModelCard> {
    const { files, buffers } = movable(await this.#context.artefacts.get('models', digest));
    return this.#thread.call('load', { digest, files }, { transfer: buffers });
  }
}

function overlayScale(given: number): number {
  if (given > LARGEST_SCALE) throw invalidArgument('overlayScale', `${given} given, 1 to ${LARGEST_SCALE} allowed`);
  return given || DEFAULT_SCALE;
}

function response(result: ExplainResult, { input: [height, width] }: ModelCard, classNames: string[]): ExplainResponse {
  const { predicted, target, probabilities, attribution, overlay, checks, milliseconds } = result;
  return ExplainResponse.fromPartial({
    predicted,
    target,
    probabilities: [...probabilities],
    classNames,
    attribution: {
      shape: [height, width],
      data: Buffer.from(attribution.buffer, attribution.byteOffset, attribution.byteLength),
    },
    overlay: overlay ? Buffer.from(overlay) : Buffer.alloc(0),
    checks: Object.entries(checks).map(([name, value]) => ({ name, value })),
    milliseconds,
  });
}
