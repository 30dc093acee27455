import { float32, type NdArray, normal, sizeOf } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import { blurImage } from '@jsigr/saliency';
import { gatherImages } from './images.ts';
import { outcomesOf } from './outcomes.ts';
import type { CorruptionRecord } from './record.ts';
import { type Samples, type StudyContext, type TrainedModel, testSamples } from './study-context.ts';
import { correctOn } from './transfer.ts';

/** What an image becomes; `sample` addresses random numbers. Pixels stay in [0,1]. */
type Corruption = (image: Float32Array, input: ImageShape, severity: number, sample: number) => Float32Array;

/** Three of the corruptions of Hendrycks and Dietterich, arXiv 1903.12261, with what their severities mean. */
const corruptions: Readonly<
  Record<string, { readonly unit: string; readonly severities: readonly number[]; readonly apply: Corruption }>
> = {
  noise: {
    unit: 'standard deviation of Gaussian noise',
    severities: [0.1, 0.2],
    apply: (image, _, severity, sample) => {
      const drawn = normal({ seed: 1, stream: 'study.noise', sample }, image.length);
      return image.map((value, i) => clipped(value + severity * (drawn[i] ?? 0)));
    },
  },
  blur: {
    unit: 'standard deviation of a Gaussian blur, in pixels',
    severities: [1, 2],
    apply: blurImage,
  },
  contrast: {
    unit: 'what is left of the distance from the mean of the image',
    severities: [0.5, 0.25],
    apply: (image, _, severity) => {
      const mean = image.reduce((sum, value) => sum + value, 0) / image.length;
      return image.map((value) => clipped(mean + severity * (value - mean)));
    },
  },
};

export const corruptionNotes: readonly string[] = Object.entries(corruptions).map(
  ([name, { unit, severities }]) => `${name} ${severities.join(', ')}: ${unit}`,
);

/** Accuracy on corrupted test images. */
export async function corrupt(context: StudyContext, { classifier }: TrainedModel): Promise<CorruptionRecord[]> {
  const samples = testSamples(context, context.profile.samples.transferred);
  const records: CorruptionRecord[] = [];
  for (const [name, { severities }] of Object.entries(corruptions))
    for (const severity of severities) {
      const images = corruptedImages(name, severity, samples, classifier.input);
      records.push({ name, severity, correct: outcomesOf(await correctOn(context, classifier, images, samples)) });
    }
  return records;
}

/** The samples' images after a corruption, `[count, height, width, channels]` in [0,1]; the same at every call. */
export function corruptedImages(name: string, severity: number, samples: Samples, input: ImageShape): NdArray {
  const corruption = corruptions[name];
  if (!corruption) throw new Error(`"${name}" is none of ${Object.keys(corruptions).join(', ')}`);
  const images = gatherImages(samples, input);
  const size = sizeOf(input);
  const data = new Float32Array(images.data.length);
  samples.indices.forEach((index, place) => {
    const image = (images.data as Float32Array).subarray(place * size, (place + 1) * size);
    data.set(corruption.apply(image, input, severity, index), place * size);
  });
  return float32(data, images.shape);
}

function clipped(value: number): number {
  return Math.min(1, Math.max(0, value));
}
