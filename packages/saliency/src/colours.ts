export type Rgb = readonly [number, number, number];

/**
 * ColorBrewer's RdBu (Brewer, 2003), from -1 to 1: blue speaks against, red for, white says nothing. Lightness falls evenly on both sides, so
 * equal steps look equal, and red-green blindness does not matter.
 */
const DIVERGING: readonly Rgb[] = [
  [5, 48, 97],
  [33, 102, 172],
  [67, 147, 195],
  [146, 197, 222],
  [209, 229, 240],
  [247, 247, 247],
  [253, 219, 199],
  [244, 165, 130],
  [214, 96, 77],
  [178, 24, 43],
  [103, 0, 31],
];

/** The colour of a value in [-1,1] (values beyond are clamped), each part 0..255, not rounded. */
export function diverging(value: number): Rgb {
  const at = ((Math.min(Math.max(value, -1), 1) + 1) / 2) * (DIVERGING.length - 1);
  const lower = Math.min(Math.floor(at), DIVERGING.length - 2);
  return mix(DIVERGING[lower] ?? [0, 0, 0], DIVERGING[lower + 1] ?? [0, 0, 0], at - lower);
}

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return [
    from[0] + (to[0] - from[0]) * share,
    from[1] + (to[1] - from[1]) * share,
    from[2] + (to[2] - from[2]) * share,
  ];
}
