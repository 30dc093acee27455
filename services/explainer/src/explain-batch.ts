import { type Engine, float32, int32, type NdArray } from '@jsigr/engine';
import { argmax, type Classifier, predict } from '@jsigr/models';
import { encodePng, enlarge, methodNamed, renderOverlay, SaliencyError, type SaliencyMethod } from '@jsigr/saliency';
import type { ExplainArgument, ExplainResult } from './methods.ts';

/** Shapes are compiled, so batches come in few sizes; the last image fills up what is missing. */
const SIZES = [1, 4, 8];
export const LARGEST_BATCH = 8;

/** Of one explanation: settings that are each in their range may take days together. */
const MOST_FORWARDS = 1_000_000;

/** Requests that may share a batch: all that is the same for a batch in a saliency method. */
export function batchKey({ model, method, settings, output, seed }: ExplainArgument): string {
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([model, method, sorted, output, seed]);
}

/**
 * Explains images of one model by one method. Scores or a map that are no numbers, and what fails while an overlay is drawn, are the result of that
 * request alone.
 * @throws SaliencyError naming the field; a target out of range is refused. The signal's reason once it is aborted.
 */
export async function explainBatch(
  engine: Engine,
  classifier: Classifier,
  requests: readonly ExplainArgument[],
  signal: AbortSignal,
): Promise<(ExplainResult | Error)[]> {
  const [first] = requests;
  if (!first) return [];
  const began = performance.now();
  const method = methodNamed(first.method);
  checkCost(method, first, classifier);
  const size = SIZES.find((each) => each >= requests.length) ?? LARGEST_BATCH;
  const padded = Array.from({ length: size }, (_, i) => requests[Math.min(i, requests.length - 1)] ?? first);
  const images = stack(padded, classifier);
  const { logits } = await predict(engine, classifier, images, { batchSize: size, signal });
  const rows = padded.map((_, i) => rowOf(logits, i));
  const predicted = rows.map((row) => argmax(row));
  // The class of scores that are no numbers is -1: its request fails below, and its neighbours do not.
  const targets = padded.map(({ target }, i) => target ?? Math.max(0, predicted[i] ?? 0));
  const explanation = await method.explain(
    {
      engine,
      classifier,
      images,
      targets: int32(Int32Array.from(targets), [size]),
      output: first.output,
      seed: first.seed,
      // Alone or in a batch, an image draws the same random numbers.
      sampleIndices: padded.map(() => 0),
      signal,
    },
    first.settings,
  );
  const milliseconds = performance.now() - began;
  return requests.map((request, i) => {
    const attribution = rowOf(explanation.map, i).slice();
    if (predicted[i] === -1) return notFinite("the model's scores of it");
    if (!attribution.every(Number.isFinite)) return notFinite(`its map by the method "${first.method}"`);
    const gap = explanation.check?.completenessGap[i];
    const checks: Record<string, number> = gap === undefined ? {} : { completeness_gap: gap };
    const result = {
      predicted: predicted[i] ?? 0,
      target: targets[i] ?? 0,
      probabilities: softmax(rows[i] ?? new Float32Array()),
      attribution,
      checks,
      milliseconds,
    };
    return request.overlayScale === undefined ? result : withOverlay(result, request, classifier);
  });
}

/** All requests of a batch have the same settings, so all cost the same. */
function checkCost({ name, forwards }: SaliencyMethod, { settings }: ExplainArgument, { input }: Classifier): void {
  const asked = forwards(input, settings);
  if (asked <= MOST_FORWARDS) return;
  const [height, width] = input;
  const given = `${asked} forward passes to explain one image of ${height}x${width}`;
  throw new SaliencyError(
    'INVALID_SETTING',
    'settings',
    `${given}, at most ${MOST_FORWARDS} allowed (method "${name}")`,
  );
}

function notFinite(what: string): SaliencyError {
  return new SaliencyError('NOT_FINITE', 'image', `${what} are not all finite numbers: there is nothing to explain`);
}

function stack(requests: readonly ExplainArgument[], { input }: Classifier): NdArray {
  const size = input[0] * input[1] * input[2];
  const data = new Float32Array(requests.length * size);
  requests.forEach(({ image }, i) => {
    data.set(image, i * size);
  });
  return float32(data, [requests.length, ...input]);
}

function rowOf({ data, shape: [batch = 1] }: NdArray, index: number): Float32Array {
  const size = data.length / batch;
  return (data as Float32Array).subarray(index * size, (index + 1) * size);
}

function withOverlay(
  result: ExplainResult,
  { image, overlayScale = 1 }: ExplainArgument,
  { input }: Classifier,
): ExplainResult | Error {
  const [height, width] = input;
  try {
    const pixels = renderOverlay(float32(image, [...input]), float32(result.attribution, [height, width, 1]));
    return { ...result, overlay: encodePng(enlarge(pixels, overlayScale)) };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
