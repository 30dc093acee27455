import type {
  GetMetricSpecResponse,
  GetMetricsRequest,
  GetMetricsResponse,
  IsActiveResponse,
  ScaledObjectRef,
} from '@jsigr/proto';
import { failedPrecondition, invalidArgument } from '@jsigr/service';

/** Requests for explanations that wait or are served. */
export interface Demand {
  readonly count: number;
  /** Resolves when the count has changed, or after so long. @throws the signal's reason. */
  changed(signal: AbortSignal, timeoutMs?: number): Promise<void>;
  /** Most at once since then, on the clock of `performance.now()`. */
  peakSince(time: number): number;
  /** When there was a request last; undefined: never. While there is one it is now. */
  lastTime(): number | undefined;
}

const METRIC = 'requests';
const WINDOW_MS = 30_000;
const TARGET_REQUESTS = 8;
const MOST_REQUESTS = 1024;
const KEEP_ACTIVE_SECONDS = 300;
const MOST_SECONDS = 86_400;

/** KEDA's external scaler for explainers. */
export class Scaler {
  readonly #demand: Demand | undefined;

  /** @param demand undefined: the gateway starts explainers itself */
  constructor(demand: Demand | undefined) {
    this.#demand = demand;
  }

  isActive(ref: ScaledObjectRef): IsActiveResponse {
    return { result: this.#activeFor(settingsOf(ref).keepActiveMs) > 0 };
  }

  async *streamIsActive(ref: ScaledObjectRef, signal: AbortSignal): AsyncGenerator<IsActiveResponse> {
    const { keepActiveMs } = settingsOf(ref);
    const demand = this.#required();
    let said: boolean | undefined;
    for (;;) {
      const left = this.#activeFor(keepActiveMs);
      if (left > 0 !== said) yield { result: left > 0 };
      said = left > 0;
      // Without requests it is inactive by and by, and nothing else would tell.
      await demand.changed(signal, said && demand.count === 0 ? left : undefined);
    }
  }

  metricSpec(ref: ScaledObjectRef): GetMetricSpecResponse {
    const { targetRequests } = settingsOf(ref);
    this.#required();
    return {
      metricSpecs: [{ metricName: METRIC, targetSize: Math.ceil(targetRequests), targetSizeFloat: targetRequests }],
    };
  }

  metrics({ metricName, scaledObjectRef }: GetMetricsRequest): GetMetricsResponse {
    if (scaledObjectRef) settingsOf(scaledObjectRef);
    if (metricName && metricName !== METRIC)
      throw invalidArgument('metricName', `${JSON.stringify(metricName)} given, ${METRIC} allowed`);
    const peak = this.#required().peakSince(performance.now() - WINDOW_MS);
    return { metricValues: [{ metricName: METRIC, metricValue: peak, metricValueFloat: peak }] };
  }

  /** Milliseconds that explainers are still wanted for; with requests, as long as these. */
  #activeFor(keepActiveMs: number): number {
    const demand = this.#required();
    if (demand.count > 0) return Math.max(keepActiveMs, 1);
    const last = demand.lastTime();
    return last === undefined ? 0 : Math.max(0, last + keepActiveMs - performance.now());
  }

  #required(): Demand {
    if (this.#demand) return this.#demand;
    throw failedPrecondition('NOT_SCALED', 'this gateway starts explainers itself: there is nothing to scale');
  }
}

function settingsOf({ scalerMetadata }: ScaledObjectRef): { targetRequests: number; keepActiveMs: number } {
  const { targetRequests = String(TARGET_REQUESTS), keepActiveSeconds = String(KEEP_ACTIVE_SECONDS) } = scalerMetadata;
  const [target, seconds] = [Number(targetRequests), Number(keepActiveSeconds)];
  if (!(target > 0 && target <= MOST_REQUESTS))
    throw invalidArgument(
      'scalerMetadata.targetRequests',
      `${targetRequests} given, a number above 0, up to ${MOST_REQUESTS} allowed`,
    );
  if (!(seconds >= 0 && seconds <= MOST_SECONDS))
    throw invalidArgument(
      'scalerMetadata.keepActiveSeconds',
      `${keepActiveSeconds} given, a number from 0 to ${MOST_SECONDS} allowed`,
    );
  return { targetRequests: target, keepActiveMs: seconds * 1000 };
}
