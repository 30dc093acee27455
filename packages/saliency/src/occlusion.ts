import { float32 } from '@jsigr/engine';
import { z } from 'zod';
import { SaliencyError } from './errors.ts';
import { defineMethod } from './method.ts';
import { outputsAt } from './outputs-at.ts';
import { paint, patchCount, patchesOf } from './patches.ts';

/**
 * Occlusion, Zeiler and Fergus, arXiv 1311.2901, section 4.2: how much the output falls when a square is covered. A pixel has the mean over the squares that
 * cover it.
 */
export const occlusion = defineMethod({
  name: 'occlusion',
  summary: 'How far the output falls when a square of the image is covered (Zeiler and Fergus 2014)',
  settings: z.strictObject({
    size: z.number().int().min(1).max(64).default(4).describe('Side of the square, 1..64 pixels'),
    stride: z
      .number()
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe('Pixels between squares, 1..size: (height/stride) (width/stride) forwards an image'),
    baseline: z.number().min(0).max(1).default(0).describe('What covers: 0 black .. 1 white'),
  }),
  forwards: ([height, width], { size, stride }) => patchCount(height, width, size, stride) + 1,
  explain: async (context, { size, stride, baseline }) => {
    if (stride > size)
      throw new SaliencyError(
        'INVALID_SETTING',
        'settings.stride',
        `${stride} given, at most the size of ${size} allowed: no pixel may be left out (method "occlusion")`,
      );
    context.signal?.throwIfAborted();
    const [batch = 0, height = 0, width = 0, channels = 0] = context.images.shape;
    const patches = patchesOf(height, width, size, stride);
    const map = new Float32Array(batch * height * width);
    for (let sample = 0; sample < batch; sample++) {
      // The last one is the image as it is.
      const outputs = await outputsAt(context, sample, patches.length + 1, (i, image) =>
        paint(image, patches[i] ?? [], channels, baseline),
      );
      const whole = outputs.at(-1) ?? 0;
      const covered = new Float64Array(height * width);
      const sum = new Float64Array(height * width);
      for (const [i, patch] of patches.entries())
        for (const pixel of patch) {
          covered[pixel] = (covered[pixel] ?? 0) + 1;
          sum[pixel] = (sum[pixel] ?? 0) + whole - (outputs[i] ?? 0);
        }
      map.set(
        sum.map((total, pixel) => total / (covered[pixel] ?? 1)),
        sample * height * width,
      );
    }
    return { map: float32(map, [batch, height, width, 1]) };
  },
});
