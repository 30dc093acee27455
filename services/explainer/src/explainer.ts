import { ExplainedOutput, type ExplainImageRequest, type ExplainRequest, ExplainResponse } from '@jsigr/proto';
import {
  type ComputeThread,
  inSpan,
  invalidArgument,
  JsigrError,
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
/** Longest side of an overlay, in pixels: it is drawn in memory, and sent in one message. */
const LONGEST_SIDE = 4096;

const outputs: Partial<Record<ExplainedOutput, ExplainArgument['output']>> = {
  [ExplainedOutput.EXPLAINED_OUTPUT_UNSPECIFIED]: 'logit',
  [ExplainedOutput.EXPLAINED_OUTPUT_LOGIT]: 'logit',
  [ExplainedOutput.EXPLAINED_OUTPUT_PROBABILITY]: 'probability',
  [ExplainedOutput.EXPLAINED_OUTPUT_LOSS]: 'loss',
};

/** A model may be driven out by those of other requests before it is asked about, and is loaded again; but not for ever. */
const ATTEMPTS = 4;

/** Explains one image a request; images of requests that come together are computed together. */
export class Explainer {
  readonly #context: WorkerContext;
  readonly #thread: Pick<ComputeThread<ExplainerMethods>, 'call' | 'close'>;
  /** Models on their way to the thread: two requests for one model fetch it once. */
  readonly #loading = new Map<string, Promise<ModelCard>>();

  constructor(
    context: WorkerContext,
    thread: Pick<ComputeThread<ExplainerMethods>, 'call' | 'close'> = threadOf(context),
  ) {
    this.#context = context;
    this.#thread = thread;
    context.onDrain(() => context.load.none());
    context.signal.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** @throws JsigrError INVALID_ARGUMENT naming `image`, `target`, `output`, `overlay`, `overlayScale`, `method`, `settings` or `settings.*`; NOT_FOUND for the model; UNAVAILABLE if it cannot be kept. */
  explain({ request, modelDigest, classNames }: ExplainImageRequest, signal: AbortSignal): Promise<ExplainResponse> {
    return this.#context.load.during(async () => {
      if (!request) throw invalidArgument('request', 'is missing');
      const output = outputs[request.output];
      if (!output) throw invalidArgument('output', `${request.output} is not known; logit, probability or loss are`);
      const card = await this.#load(modelDigest);
      const { target } = request;
      if (target !== undefined && target >= card.classes)
        throw invalidArgument('target', `${target} given, 0 to ${card.classes - 1} allowed`);
      const overlayScale = overlayScaleOf(request, card);
      const method = request.method || 'gradient';
      const attributes = { 'jsigr.model': `models/${modelDigest}`, 'jsigr.method': method };
      const image = await imageOf(request.image, card.input);
      const argument: ExplainArgument = {
        model: modelDigest,
        image,
        method,
        settings: settingsFromText(request.settings),
        output,
        seed: request.seed,
        ...(target === undefined ? {} : { target }),
        ...(overlayScale === undefined ? {} : { overlayScale }),
      };
      const either = AbortSignal.any([signal, this.#context.signal]);
      const result = await inSpan('explain', { attributes }, () => this.#compute(argument, either));
      return response(result, card, classNames);
    });
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  async #compute(argument: ExplainArgument, signal: AbortSignal): Promise<ExplainResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#thread.call('explain', argument, { signal });
      } catch (error) {
        if (JsigrError.from(error).reason !== 'NOT_LOADED' || attempt === ATTEMPTS) throw error;
        await this.#load(argument.model);
      }
    }
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

function threadOf({ compute, silenceMs }: WorkerContext): ComputeThread<ExplainerMethods> {
  const data: ExplainerThreadData = compute;
  return startComputeThread<ExplainerMethods>(siblingModule(import.meta.url, 'compute'), { data, silenceMs });
}

/** Absent where no overlay is asked for. Refused here and not where it is drawn, since by then it has been computed. */
export function overlayScaleOf(
  { overlay, overlayScale }: Pick<ExplainRequest, 'overlay' | 'overlayScale'>,
  { input: [height, width, channels] }: ModelCard,
): number | undefined {
  const fitting = Math.max(1, Math.floor(LONGEST_SIDE / Math.max(height, width)));
  const most = overlay ? Math.min(LARGEST_SCALE, fitting) : LARGEST_SCALE;
  if (overlayScale > most)
    throw invalidArgument(
      'overlayScale',
      `${overlayScale} given, 1 to ${most} allowed for images of ${height}x${width}`,
    );
  if (!overlay) return undefined;
  if (channels !== 1 && channels !== 3)
    throw invalidArgument('overlay', `images of ${channels} channels cannot be drawn; 1 or 3 can`);
  return overlayScale || Math.min(DEFAULT_SCALE, most);
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
