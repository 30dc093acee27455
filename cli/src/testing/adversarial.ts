import { encodeAdversarial, type KeptAdversarial } from '@jsigr/attacks';

/** Kept images of 2 x 2 grey pixels: two of linf, of which rounding to 8 bits undoes the second, and two of l2 on one sample. */
export function madeUpAdversarial(): KeptAdversarial[] {
  const original = Uint8Array.of(0, 64, 128, 255);
  const one = (change: Partial<KeptAdversarial>): KeptAdversarial => ({
    attack: 'pgd',
    norm: 'linf',
    epsilon: 0.1,
    settings: {},
    sample: 3,
    label: 1,
    predicted: 0,
    predictedRounded: 0,
    distance: 0.0625,
    original,
    rounded: Uint8Array.of(16, 80, 112, 239),
    image: Float32Array.of(0.0625, 0.3125, 0.4375, 0.9375),
    ...change,
  });
  return [
    one({}),
    one({ sample: 4, distance: 0.09375, predictedRounded: 1 }),
    one({ attack: 'cw', norm: 'l2', epsilon: 1, sample: 5, distance: 0.5 }),
    one({ attack: 'pgd', norm: 'l2', epsilon: 1, sample: 5, distance: 0.75 }),
  ];
}

export function adversarialFile(): Uint8Array {
  return encodeAdversarial(madeUpAdversarial(), [2, 2, 1]);
}
