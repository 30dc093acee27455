import { float32, normal, uniform } from '@jsigr/engine';
import { argmax, mayAsk } from '@jsigr/models';
import { z } from 'zod';
import { type AttackContext, defineAttack, type Outcome } from './attack.ts';
import { sizeOfImage } from './compiled.ts';
import type { NormName } from './norms.ts';
import { logitsOfRows } from './queries.ts';
import { countSetting } from './settings.ts';

type JumpNorm = Extract<NormName, 'linf' | 'l2'>;

/** What differs between the norms (algorithm 1 and section 3 of the paper). */
interface Geometry {
  /** The point `share` of the way from the image to the adversarial one. */
  readonly between: (image: Float32Array, adversarial: Float32Array, share: number) => Float32Array;
  /** Precision of the search for the boundary, as a share, for images of `size` numbers. */
  readonly tolerance: (size: number) => number;
  /** Radius of the probes at a distance from the image. */
  readonly probe: (size: number, distance: number) => number;
  readonly direction: (gradient: Float32Array) => Float32Array;
}

const geometries: Readonly<Record<JumpNorm, Geometry>> = {
  l2: {
    between: (image, adversarial, share) => image.map((value, i) => value + share * ((adversarial[i] ?? 0) - value)),
    tolerance: (size) => 1 / (Math.sqrt(size) * size),
    probe: (size, distance) => distance / size,
    direction: (gradient) => gradient,
  },
  linf: {
    between: (image, adversarial, share) => {
      const reach = share * largest(image, adversarial);
      return image.map((value, i) => value + Math.min(Math.max((adversarial[i] ?? 0) - value, -reach), reach));
    },
    tolerance: (size) => 1 / (size * size),
    probe: (size, distance) => distance / size,
    direction: (gradient) => gradient.map(Math.sign),
  },
};

/** HopSkipJump, Chen et al., arXiv 1904.02144: walks along the boundary by predicted classes alone. */
export const hopSkipJump = defineAttack({
  name: 'hop-skip-jump',
  summary: 'Walks along the boundary towards the image by predicted classes alone (HopSkipJump, Chen et al. 2020)',
  access: 'decision',
  goal: 'distance',
  norms: ['linf', 'l2'],
  settings: z.strictObject({ queries: countSetting(1_000_000, 5000, 'Predicted classes that are asked for') }),
  cost: ({ queries }) => ({ forwards: queries, backwards: 0 }),
  run: (context, { queries }) => searchAll(context, queries),
});

/** A question: are these images misclassified? The answer comes image by image; what is found is told in between. */
type Search = Generator<readonly Float32Array[], void, readonly boolean[]>;

interface Row {
  readonly search: Search;
  ask: readonly Float32Array[];
  best: Float32Array;
  used: number;
}

/** All rows search at once, so that the questions of all of them fill the batches. */
async function searchAll(context: AttackContext, queries: number): Promise<Outcome> {
  const { images, labels, signal, onStep } = context;
  const size = sizeOfImage(context);
  const rows = context.sampleIndices.map((_, index): Row => {
    const image = images.data.subarray(index * size, (index + 1) * size) as Float32Array;
    const row: Row = {
      search: searchOf(context, index, image, (found) => {
        row.best = found;
      }),
      ask: [],
      best: image,
      used: 0,
    };
    return row;
  });
  for (const row of rows) row.ask = row.search.next([]).value ?? [];
  const gathered = () =>
    float32(
      flattened(
        rows.map(({ best }) => best),
        size,
      ),
      images.shape,
    );
  onStep?.(gathered(), 0);
  let short = false;
  for (let step = 1; ; step++) {
    const open = rows.filter((row) => row.ask.length > 0 && row.used + row.ask.length <= queries);
    if (open.length === 0) break;
    const questions = open.reduce((sum, row) => sum + row.ask.length, 0);
    const used = rows.reduce((sum, row) => sum + row.used, 0);
    if (!mayAsk(context.source, questions + rows.length) || context.isSpent?.({ forwards: used, backwards: 0 })) {
      short = true;
      break;
    }
    signal?.throwIfAborted();
    const asked = open.flatMap((row) => row.ask.map((image) => ({ image, index: rows.indexOf(row) })));
    const batch = float32(
      flattened(
        asked.map(({ image }) => image),
        size,
      ),
      [asked.length, ...images.shape.slice(1)],
    );
    const logits = await logitsOfRows(
      context,
      batch,
      asked.map(({ index }) => index),
      step,
    );
    const wrong = asked.map(({ index }, i) => argmax(logits[i] ?? new Float32Array(1)) !== labels.data[index]);
    let at = 0;
    for (const row of open) {
      const answers = wrong.slice(at, at + row.ask.length);
      at += row.ask.length;
      row.used += row.ask.length;
      row.ask = row.search.next(answers).value ?? [];
    }
    onStep?.(gathered(), step);
  }
  return {
    adversarial: gathered(),
    forwards: rows.map(({ used }) => used),
    backwards: rows.map(() => 0),
    ...(short && { short }),
  };
}

/** Tries of a random image, and how many at a time. */
const FIRST_TRIES = 100;
const TRIES_TOGETHER = 10;
/** Probes of the first gradient; the j-th takes sqrt(j) times as many. */
const PROBES = 100;

function* searchOf(
  context: AttackContext,
  index: number,
  image: Float32Array,
  tell: (found: Float32Array) => void,
): Search {
  const { norm, seed, epsilons, attempts, sampleIndices } = context;
  const geometry = geometries[norm.name as JumpNorm]; // the attack's norms are those
  const size = image.length;
  const sample = sampleIndices[index] ?? 0;
  const address = (what: string, step: number) => {
    return { seed, stream: `hop-skip-jump.${what}/${attempts[index] ?? 0}`, step, sample };
  };
  const distanceOf = (point: Float32Array) => norm.lengthOf(point.map((value, i) => value - (image[i] ?? 0)));
  const start = yield* firstAdversarial((step) => uniform(address('start', step), size));
  if (!start) return;
  let point = yield* toBoundary(geometry, image, start);
  tell(point);
  for (let j = 1; distanceOf(point) > (epsilons[index] ?? 0); j++) {
    const distance = distanceOf(point);
    const radius = j === 1 ? 0.1 : geometry.probe(size, distance);
    const count = Math.floor(PROBES * Math.sqrt(j));
    const noise = (i: number) =>
      norm.name === 'linf'
        ? uniform(address(`probe/${j}`, i), size).map((u) => 2 * u - 1)
        : normal(address(`probe/${j}`, i), size);
    const direction = geometry.direction(yield* gradientAt(point, radius, count, noise));
    const jumped = yield* jump(point, direction, distance / Math.sqrt(j));
    const next = yield* toBoundary(geometry, image, jumped);
    point = next;
    tell(point);
  }
}

/** A uniform random image that is misclassified, if one of the first few is. */
function* firstAdversarial(
  draw: (step: number) => Float32Array,
): Generator<readonly Float32Array[], Float32Array | undefined, readonly boolean[]> {
  for (let from = 0; from < FIRST_TRIES; from += TRIES_TOGETHER) {
    const tries = Array.from({ length: TRIES_TOGETHER }, (_, i) => draw(from + i));
    const answers = yield tries;
    const found = tries[answers.indexOf(true)];
    if (found) return found;
  }
  return undefined;
}

/** The paper's tolerance is meant for real images; that of a tiny one would be coarse. */
const COARSEST = 1e-3;

/** The nearest adversarial point on the way to the image, by halving. */
function* toBoundary(
  { between, tolerance }: Geometry,
  image: Float32Array,
  adversarial: Float32Array,
): Generator<readonly Float32Array[], Float32Array, readonly boolean[]> {
  let [low, high] = [0, 1];
  const enough = Math.min(Math.max(tolerance(image.length), 1e-7), COARSEST);
  while (high - low > enough) {
    const middle = (low + high) / 2;
    const [wrong] = yield [between(image, adversarial, middle)];
    if (wrong) high = middle;
    else low = middle;
  }
  return between(image, adversarial, high);
}

/** Which way leads deeper into the other class, from the answers at random points nearby (eq. 9 and 16). */
function* gradientAt(
  point: Float32Array,
  radius: number,
  count: number,
  noise: (i: number) => Float32Array,
): Generator<readonly Float32Array[], Float32Array, readonly boolean[]> {
  const probes = Array.from({ length: count }, (_, i) => {
    const drawn = noise(i);
    const length = euclidean(drawn);
    return point.map((value, k) => clip(value + (radius * (drawn[k] ?? 0)) / length));
  });
  const answers = yield probes;
  const values = answers.map((wrong) => (wrong ? 1 : -1));
  const mean = values.reduce((a, b) => a + b, 0) / count;
  const offset = Math.abs(mean) === 1 ? 0 : mean;
  const gradient = new Float32Array(point.length);
  probes.forEach((probe, i) => {
    const value = (values[i] ?? 0) - offset;
    for (let k = 0; k < gradient.length; k++)
      gradient[k] = (gradient[k] ?? 0) + (value * ((probe[k] ?? 0) - (point[k] ?? 0))) / radius;
  });
  const length = euclidean(gradient) || 1;
  return gradient.map((value) => value / length);
}

/** Halvings of a jump before it is given up. */
const SHORTEST_JUMP = 20;

/** As far along the direction as the point stays adversarial, in halving steps. */
function* jump(
  point: Float32Array,
  direction: Float32Array,
  first: number,
): Generator<readonly Float32Array[], Float32Array, readonly boolean[]> {
  let length = first;
  for (let i = 0; i < SHORTEST_JUMP; i++, length /= 2) {
    const there = point.map((value, k) => clip(value + length * (direction[k] ?? 0)));
    const [wrong] = yield [there];
    if (wrong) return there;
  }
  return point;
}

function flattened(images: readonly Float32Array[], size: number): Float32Array {
  const data = new Float32Array(images.length * size);
  images.forEach((image, i) => {
    data.set(image, i * size);
  });
  return data;
}

function largest(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? 0))), 0);
}

function euclidean(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

function clip(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
