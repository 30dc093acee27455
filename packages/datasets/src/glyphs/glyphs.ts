import { type RandomAddress, randomWords } from '@jsigr/engine';
import type { Dataset, Split } from '../dataset.ts';
import { checkedInteger, DatasetError } from '../errors.ts';
import { Canvas, extentOf, type Ink, type Placement } from './canvas.ts';
import { type Segment, SHAPES, TEXTURES } from './shapes.ts';

export interface GlyphOptions {
  /** `gray28`: 28 x 28 x 1; `color32`: 32 x 32 x 3. */
  readonly variant: GlyphVariant;
  /** 0..2^32-1. */
  readonly seed: number;
  /** Number of training images, 1..1,000,000. */
  readonly train: number;
  /** Number of test images, 1..1,000,000. */
  readonly test: number;
}

export type GlyphVariant = keyof typeof VARIANTS;

const VARIANTS = {
  gray28: { name: 'glyphs', side: 28, channels: 1 },
  color32: { name: 'glyphs-color', side: 32, channels: 3 },
} as const;

/** How often the texture of an image is that of its class; else it is any of the ten. */
const TEXTURE_TELLS_CLASS = 0.4;
const MOST_IMAGES = 1_000_000;

/**
 * Synthetic images of ten shapes, bright on a cluttered darker ground, with masks of the pixels that make the class: a saliency method can be
 * held against the truth. The ground tempts: fragments of other shapes, strokes, spots, and a faint texture that agrees with the class more
 * often than chance, in both splits.
 *
 * The same options give the same bytes on every machine, and image i depends on (variant, seed, split, i) alone, so that a larger dataset begins with the smaller.
 * Labels run 0, 1, ..., 9, 0, ...: every class is equally frequent in any multiple of ten.
 * @throws DatasetError INVALID_OPTION naming the option
 */
export function glyphs({ variant, seed, train, test }: GlyphOptions): Dataset {
  const format = VARIANTS[variant];
  if (!format) {
    const allowed = Object.keys(VARIANTS).join(' or ');
    throw new DatasetError('INVALID_OPTION', 'variant', `must be ${allowed}, not ${JSON.stringify(variant)}`);
  }
  checkedInteger('seed', seed, 0, 4294967295);
  const make = (split: string, count: number) => {
    checkedInteger(split, count, 1, MOST_IMAGES);
    return drawSplit(new Canvas(format.side, format.channels), { seed, stream: `${format.name}.${split}` }, count);
  };
  return {
    name: format.name,
    input: [format.side, format.side, format.channels],
    classes: CLASSES,
    train: make('train', train),
    test: make('test', test),
  };
}

const CLASSES = Object.keys(SHAPES);
const STROKES: readonly (readonly Segment[])[] = Object.values(SHAPES);

function drawSplit(canvas: Canvas, address: RandomAddress, count: number): Required<Split> {
  const area = canvas.side * canvas.side;
  const images = new Uint8Array(count * area * canvas.channels);
  const labels = new Uint8Array(count);
  const masks = new Uint8Array(count * area);
  for (let sample = 0; sample < count; sample++) {
    const label = sample % CLASSES.length;
    labels[sample] = label;
    drawGlyph(canvas, label, new Draw({ ...address, sample }));
    for (let pixel = 0; pixel < area; pixel++)
      masks[sample * area + pixel] = (canvas.coverage[pixel] ?? 0) >= 0.5 ? 1 : 0;
    develop(canvas, { ...address, stream: `${address.stream}.noise`, sample }, images, sample * area * canvas.channels);
  }
  return { count, images, labels, masks };
}

/** Draws one image; the glyph comes last, so that the canvas' coverage is its own. */
function drawGlyph(canvas: Canvas, label: number, draw: Draw): void {
  const { side, channels } = canvas;
  const anywhere = () => [draw.between(0, side), draw.between(0, side)] as const;
  canvas.fill(draw.ink(channels, 0.02, 0.16), [draw.between(-0.12, 0.12), draw.between(-0.12, 0.12)]);
  for (let spot = 0; spot < 2; spot++)
    canvas.spot(anywhere(), draw.between(0.15, 0.4) * side, draw.ink(channels, -0.06, 0.14));
  for (let stroke = 0; stroke < 3; stroke++) {
    const length = draw.between(0.1, 0.3) * side;
    const placement: Placement = { centre: anywhere(), scale: [length, length], direction: draw.direction(1) };
    canvas.stroke([[-1, 0, 1, 0]], placement, draw.between(0.4, 0.9), draw.ink(channels, 0.15, 0.4));
  }
  for (let fragment = 0; fragment < 2; fragment++) {
    const strokes = STROKES[(label + 1 + draw.below(CLASSES.length - 1)) % CLASSES.length] ?? [];
    const kept = Math.max(1, Math.floor(strokes.length * 0.5));
    const first = draw.below(strokes.length - kept + 1);
    const size = draw.between(0.16, 0.26) * side;
    const placement: Placement = { centre: anywhere(), scale: [size, size], direction: draw.direction(1) };
    canvas.stroke(strokes.slice(first, first + kept), placement, draw.between(0.5, 0.9), draw.ink(channels, 0.2, 0.45));
  }
  const texture = draw.unit() < TEXTURE_TELLS_CLASS ? label : draw.below(TEXTURES.length);
  const size = 7;
  const [left, top] = [draw.below(side - size + 1), draw.below(side - size + 1)];
  canvas.texture(left, top, size, TEXTURES[texture] ?? [], draw.ink(channels, 0.08, 0.14));
  drawWhole(canvas, STROKES[label] ?? [], draw);
}

/** Draws a shape at a random size, turn and width, anywhere that it fits in whole. */
function drawWhole(canvas: Canvas, strokes: readonly Segment[], draw: Draw): void {
  const { side, channels } = canvas;
  const scale = draw.between(0.27, 0.35) * side;
  const turned = {
    scale: [scale * draw.between(0.85, 1.05), scale * draw.between(0.85, 1.05)],
    direction: draw.direction(0.17),
  } as const;
  const halfWidth = draw.between(0.036, 0.052) * side;
  const extent = extentOf(strokes, { ...turned, centre: [0, 0] });
  const position = ([low, high]: readonly [number, number]) =>
    draw.between(halfWidth + 0.5 - low, side - 1 - halfWidth - 0.5 - high);
  const placement: Placement = { ...turned, centre: [position(extent.x), position(extent.y)] };
  canvas.stroke(strokes, placement, halfWidth, draw.ink(channels, 0.8, 1));
}

/** Adds noise (a triangle of +-0.08), clips, and rounds to 0..255. */
function develop({ pixels }: Canvas, address: RandomAddress, images: Uint8Array, offset: number): void {
  const noise = new Uint8Array(randomWords(address, Math.ceil(pixels.length / 2)).buffer);
  for (let i = 0; i < pixels.length; i++) {
    const shift = ((noise[2 * i] ?? 0) + (noise[2 * i + 1] ?? 0) - 255) * (0.08 / 255);
    images[offset + i] = Math.floor(Math.min(1, Math.max(0, (pixels[i] ?? 0) + shift)) * 255 + 0.5);
  }
}

/** The random numbers of one image, one after the other. */
class Draw {
  readonly #words: Uint32Array;
  #at = 0;

  constructor(address: RandomAddress) {
    this.#words = randomWords(address, 128); // a colour image takes 78
  }

  /** [0, 1) */
  unit(): number {
    return (this.#words[this.#at++] ?? Number.NaN) / 4294967296;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  ink(channels: number, low: number, high: number): Ink {
    return Array.from({ length: channels }, () => this.between(low, high));
  }

  /** A unit vector at most 2 atan(tangent) away from (1, 0), by the tangent of half the angle: no sine, no cosine. */
  direction(tangent: number): readonly [x: number, y: number] {
    const t = this.between(-tangent, tangent);
    return [(1 - t * t) / (1 + t * t), (2 * t) / (1 + t * t)];
  }
}
