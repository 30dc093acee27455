import { float32, uniform } from '@jsigr/engine';
import { z } from 'zod';
import { defineMethod, sampleIndicesOf } from './method.ts';
import { imageOf, outputsAt } from './outputs-at.ts';
import { patchCount, patchesOf } from './patches.ts';

/**
 * Shapley values of the squares of a grid (Shapley 1953), estimated from random orders (Štrumbelj and Kononenko, JMLR 2010, 11:1): what a square adds to the output
 * when it joins those before it, on a uniform baseline, on average. Where there are no more orders than asked for, all are tried and the values are exact. A
 * square's value is spread over its pixels; the map always sums to the change of the output.
 */
export const shapley = defineMethod({
  name: 'shapley',
  summary: 'What each square of the image adds to the output, averaged over random orders (Shapley value sampling)',
  settings: z.strictObject({
    size: z.number().int().min(1).max(64).default(4).describe('Side of a square, 1..64 pixels'),
    orders: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(16)
      .describe('Random orders, 1..1000: each costs (height/size) (width/size) forwards an image'),
    baseline: z.number().min(0).max(1).default(0).describe('Value of pixels that have not joined: 0 black .. 1 white'),
  }),
  forwards: ([height, width], { size, orders }) => orders * (patchCount(height, width, size, size) + 1),
  explain: async (context, { size, orders: asked, baseline }) => {
    context.signal?.throwIfAborted();
    const { images, seed = 0 } = context;
    const [batch = 0, height = 0, width = 0, channels = 0] = images.shape;
    const patches = patchesOf(height, width, size, size);
    const map = new Float32Array(batch * height * width);
    const completenessGap: number[] = [];
    for (const [row, sample] of sampleIndicesOf(context).entries()) {
      const own = imageOf(images, row).slice();
      const values = new Float64Array(patches.length);
      const ends = { empty: 0, full: 0 };
      let orders = 0;
      for (const order of ordersOf(patches.length, asked, { seed, sample })) {
        orders++;
        // Image 0 is the baseline, image i has the first i squares of the order.
        const outputs = await outputsAt(context, row, order.length + 1, (count, image) => {
          image.fill(baseline);
          for (const patch of order.slice(0, count))
            for (const pixel of patches[patch] ?? [])
              image.set(own.subarray(pixel * channels, (pixel + 1) * channels), pixel * channels);
        });
        for (const [place, patch] of order.entries())
          values[patch] = (values[patch] ?? 0) + (outputs[place + 1] ?? 0) - (outputs[place] ?? 0);
        ends.empty = outputs[0] ?? 0;
        ends.full = outputs.at(-1) ?? 0;
      }
      for (const [i, patch] of patches.entries())
        for (const pixel of patch) map[row * height * width + pixel] = (values[i] ?? 0) / orders / patch.length;
      const total = imageOf(float32(map, [batch, height, width]), row).reduce((sum, value) => sum + value, 0);
      completenessGap.push(total - (ends.full - ends.empty));
    }
    return { map: float32(map, [batch, height, width, 1]), check: { completenessGap } };
  },
});

/**
 * All orders of so many things, or as many random ones where there are more than that; random ones are the same for a sample alone and in any batch. One after the
 * other: a thousand orders of a large image's pixels would take hundreds of megabytes.
 */
export function* ordersOf(
  count: number,
  most: number,
  address: { readonly seed: number; readonly sample: number },
): Generator<readonly number[], void> {
  const all = allOrders(count, most);
  if (all) yield* all;
  else for (let step = 0; step < most; step++) yield drawOrder(count, { ...address, step });
}

/** All orders of so many things; undefined where there are more than `most`. */
function allOrders(count: number, most: number): number[][] | undefined {
  let orders: number[][] = [[]];
  for (let next = 0; next < count; next++) {
    if (orders.length * (next + 1) > most) return undefined;
    orders = orders.flatMap((order) => Array.from({ length: next + 1 }, (_, place) => order.toSpliced(place, 0, next)));
  }
  return orders;
}

function drawOrder(count: number, address: { readonly seed: number; readonly sample: number; readonly step: number }) {
  const keys = uniform({ ...address, stream: 'shapley.order' }, count);
  return Array.from({ length: count }, (_, i) => i).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
}
