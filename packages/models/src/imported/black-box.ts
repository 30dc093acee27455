import { float32, type ImportedInput, type NdArray, openOnnxFile, uniform } from '@jsigr/engine';
import type { ImageShape, QueriedClassifier } from '../classifier.ts';
import { ModelError } from '../errors.ts';
import { columnsOf } from './classifier.ts';
import { relativeDifference } from './difference.ts';
import type { Reading, ScoreKind } from './manifest.ts';

/** Whoever gives scores and cannot be traced: a runtime with a file, a live endpoint. */
export interface Oracle {
  readonly inputs: readonly ImportedInput[];
  /** Outputs that are floating-point tensors. */
  readonly outputs: readonly string[];
  /** Images that it takes at once at most; absent: any number. */
  readonly most?: number;
  /** One output for one input, in the file's own shapes. @throws if it does not answer */
  readonly ask: (
    input: NdArray,
    names: { readonly inputName: string; readonly outputName: string },
    signal?: AbortSignal,
  ) => Promise<NdArray>;
  readonly close: () => void;
}

/** An ONNX file as an oracle. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
export async function oracleOfFile(file: Uint8Array): Promise<Oracle> {
  const { inputs, outputs, run, release } = await openOnnxFile(file);
  return {
    inputs,
    outputs,
    ask: async (input, { inputName, outputName }) => {
      const { [outputName]: scores } = await run({ [inputName]: input }, [outputName]);
      if (!scores) throw malformed(`it gave no '${outputName}'`);
      return scores;
    },
    close: () => void release(),
  };
}

/** Smallest probability whose logarithm is taken, as for models that are traced. */
const SMALLEST = 1e-30;

const logarithm = (probability: number) => Math.log(Math.max(probability, SMALLEST));

const LOGITS: Readonly<Record<ScoreKind, (score: number) => readonly number[]>> = {
  logits: (score) => [score],
  'log-probabilities': (score) => [score],
  probabilities: (score) => [logarithm(score)],
  logit: (score) => [0, score],
  probability: (score) => [logarithm(1 - score), logarithm(score)],
};

/** An oracle as a classifier of images [batch, height, width, channels] in [0,1]. */
export function queriedOf(
  oracle: Oracle,
  reading: Reading,
  { input, classes, id, blackBox }: Pick<QueriedClassifier, 'input' | 'classes' | 'id' | 'blackBox'>,
): QueriedClassifier {
  return {
    id,
    input,
    classes,
    blackBox,
    parameters: {},
    forward: () => {
      throw new ModelError('BLACK_BOX', 'model', `${id} is a black box, which can only be attacked: ${blackBox}`);
    },
    query: async (images, signal) => {
      const { data, shape } = await scoresOf(oracle, reading, images, signal);
      const [count = 0] = images.shape;
      if (data.length !== count * columnsOf(reading.scores, classes))
        throw malformed(`it gave scores of the shape [${shape}] for ${count} images of ${classes} classes`);
      return float32(Float32Array.from([...data].flatMap(LOGITS[reading.scores])), [count, classes]);
    },
    close: oracle.close,
  };
}

/** What the oracle gives for images in [0,1], which it may take a few at a time only. */
export async function scoresOf(
  oracle: Oracle,
  reading: Reading,
  images: NdArray,
  signal?: AbortSignal,
): Promise<NdArray> {
  const [count = 0] = images.shape;
  const declared = oracle.inputs.find(({ name }) => name === reading.inputName)?.shape[0];
  const fixed = typeof declared === 'number' && declared > 0 ? declared : undefined;
  const most = fixed ?? Math.min(count, oracle.most ?? count);
  const answers: NdArray[] = [];
  for (let from = 0; from < count; from += most) {
    const batch = fixed ?? Math.min(most, count - from);
    const answer = await oracle.ask(arranged(batchOf(images, from, batch), reading), reading, signal);
    if (answer.shape[0] !== batch) throw malformed(`it gave scores of the shape [${answer.shape}] for ${batch} images`);
    answers.push(answer);
  }
  const [first] = answers;
  const rest = first?.shape.slice(1) ?? [];
  const size = rest.reduce((product, extent) => product * extent, 1);
  const scores = answers.flatMap(({ data, shape: [batch = 0, ...own] }) => {
    if (own.join() !== rest.join()) throw malformed(`it gave scores of other shapes, [${own}] and [${rest}]`);
    return [...data].slice(0, batch * size);
  });
  return float32(scores.slice(0, count * size), [count, ...rest]);
}

/** `batch` images from `from` on, the last one again where there are no more. */
function batchOf({ data, shape: [count = 1, ...rest] }: NdArray, from: number, batch: number): NdArray {
  const size = data.length / count;
  const taken = new Float32Array(batch * size);
  for (let i = 0; i < batch; i++) {
    const row = Math.min(from + i, count - 1);
    taken.set(data.subarray(row * size, (row + 1) * size) as Float32Array, i * size);
  }
  return float32(taken, [batch, ...rest]);
}

/** Images as the oracle wants them: normalised, in its order of axes, flat if it is. The same as for models that are traced (`classifier.ts`). */
export function arranged(images: NdArray, { normalization, layout, imageShape }: Reading): NdArray {
  const [count = 1, height = 1, width = 1, channels = 1] = images.shape;
  const { mean, deviation } = normalization;
  const pixels = height * width;
  const data = new Float32Array(images.data.length);
  for (let at = 0; at < data.length; at++) {
    const channel = at % channels;
    const pixel = Math.floor(at / channels) % pixels;
    const image = Math.floor(at / (channels * pixels));
    const value =
      ((images.data[at] ?? 0) - (mean[channel % mean.length] ?? 0)) / (deviation[channel % deviation.length] ?? 1);
    data[layout === 'NCHW' ? (image * channels + channel) * pixels + pixel : at] = value;
  }
  return float32(data, [count, ...imageShape]);
}

/** Random images that a model is tried on. */
const TRIALS = 4;
const TOLERANCE = 1e-3;

/** Scores of random images, and whether the same image has the same scores alone. @throws ModelError if they are not finite */
export async function tryOracle(
  oracle: Oracle,
  reading: Reading,
  input: ImageShape,
): Promise<{ readonly scores: NdArray; readonly isSteady: boolean }> {
  const size = input[0] * input[1] * input[2];
  const images = float32(uniform({ seed: 1, stream: 'import' }, TRIALS * size), [TRIALS, ...input]);
  const scores = await scoresOf(oracle, reading, images);
  const alone = await scoresOf(oracle, reading, float32(images.data.slice(0, size) as Float32Array, [1, ...input]));
  if (!scores.data.every(Number.isFinite) || !alone.data.every(Number.isFinite))
    throw malformed('it gives scores that are not finite for random images in [0,1]: does it need a normalization?');
  const gap = relativeDifference(scores.data.slice(0, alone.data.length), alone.data);
  return { scores, isSteady: gap <= TOLERANCE };
}

function malformed(message: string): ModelError {
  return new ModelError('MALFORMED_ANSWER', 'model', message);
}
