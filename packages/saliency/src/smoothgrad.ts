import { float32, normal } from '@jsigr/engine';
import { z } from 'zod';
import { gradient } from './gradient.ts';
import { defineMethod, type SaliencyMethod, sampleIndicesOf } from './method.ts';
import { chunkSize, repeatAll } from './rows.ts';

/** Images in one call of the wrapped method. */
const ROWS = 64;

/**
 * Wraps a method: its maps averaged over noisy copies of the image (Smilkov et al., arXiv 1706.03825). The noise is a function of the seed, the
 * sample's index and the number of the copy. Noisy images leave [0,1], as in the paper. Settings of the method are taken along.
 */
export function smooth(method: SaliencyMethod, name: string, summary: string): SaliencyMethod {
  const settings = z.strictObject({
    ...method.settings.shape,
    samples: z.number().int().min(1).max(1000).default(32).describe('Noisy copies of each image, 1..1000'),
    deviation: z
      .number()
      .min(0)
      .max(1)
      .default(0.15)
      .describe('Standard deviation of the noise, 0..1 in units of the images'),
  });
  return defineMethod({
    name,
    summary,
    settings,
    forwards: (input, { samples, deviation, ...rest }) => samples * method.forwards(input, rest),
    explain: async (context, { samples, deviation, ...rest }) => {
      const { images, targets, seed = 0 } = context;
      const addresses = sampleIndicesOf(context);
      const size = images.data.length / addresses.length;
      const copies = chunkSize(samples, ROWS / addresses.length);
      const total = new Float64Array((size / (images.shape[3] ?? 1)) * addresses.length);
      for (let first = 0; first < samples; first += copies) {
        const noisy = new Float32Array(images.data.length * copies);
        for (let copy = 0; copy < copies; copy++)
          addresses.forEach((sample, row) => {
            const noise = normal({ seed, stream: 'smoothgrad.noise', step: first + copy, sample }, size);
            const at = copy * images.data.length + row * size;
            for (let i = 0; i < size; i++)
              noisy[at + i] = (images.data[row * size + i] ?? 0) + deviation * (noise[i] ?? 0);
          });
        const { map } = await method.explain(
          {
            ...context,
            images: float32(noisy, [addresses.length * copies, ...images.shape.slice(1)]),
            targets: repeatAll(targets, copies),
            sampleIndices: Array.from(
              { length: addresses.length * copies },
              (_, i) => addresses[i % addresses.length] ?? 0,
            ),
          },
          rest,
        );
        map.data.forEach((value, i) => {
          const at = i % total.length;
          total[at] = (total[at] ?? 0) + value;
        });
      }
      const mean = Float32Array.from(total, (value) => value / samples);
      return { map: float32(mean, [...images.shape.slice(0, 3), 1]) };
    },
  });
}

export const smoothgrad = smooth(
  gradient,
  'smoothgrad',
  'The gradient, averaged over noisy copies of the image (Smilkov et al. 2017)',
);
