import { float32, normal, uniform } from '@jsigr/engine';
import { argmax, mayAsk } from '@jsigr/models';
import { z } from 'zod';
import { type AttackContext, defineAttack, type Outcome } from './attack.ts';
import { piecesOf } from './batches.ts';
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
  readonly direction: (gradient: Float32Array) => Float32Array;
}

const geometries: Readonly<Record<JumpNorm, Geometry>> = {
  l2: {
    between: (image, adversarial, share) => image.map((value, i) => value + share * ((adversarial[i] ?? 0) - value)),
    tolerance: (size) => 1 / (Math.sqrt(size) * size),
    direction: (gradient) => gradient,
  },
  linf: {
    between: (image, adversarial, share) => {
      const reach = share * largest(image, adversarial);
      return image.map((value, i) => value + Math.min(Math.max((adversarial[i] ?? 0) - value, -reach), reach));
    },
    tolerance: (size) => 1 / (size * size),
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

/** Are these images misclassified? They are drawn one by one when they are asked about, and heard of: a hundred and more of a large image are much. */
interface Question {
  readonly count: number;
  readonly at: (i: number) => Float32Array;
  readonly heard?: (image: Float32Array, wrong: boolean) => void;
}

/** Asks, and has the answers image by image; what is found is told in between. */
type Search<Found = void> = Generator<Question, Found, readonly boolean[]>;

interface Row {
  readonly search: Search;
  /** Undefined once there is nothing more to ask. */
  ask: Question | undefined;
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
      ask: undefined,
      best: image,
      used: 0,
    };
    return row;
  });
  for (const row of rows) row.ask = row.search.next([]).value ?? undefined;
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
    const open = rows.flatMap((row, index) =>
      row.ask && row.used + row.ask.count <= queries ? [{ row, index, ask: row.ask }] : [],
    );
    if (open.length === 0) break;
    const questions = open.reduce((sum, { ask }) => sum + ask.count, 0);
    const used = rows.reduce((sum, row) => sum + row.used, 0);
    if (!mayAsk(context.source, questions + rows.length) || context.isSpent?.({ forwards: used, backwards: 0 })) {
      short = true;
      break;
    }
    signal?.throwIfAborted();
    const asked = open.flatMap(({ index, ask }) => Array.from({ length: ask.count }, (_, i) => ({ index, ask, i })));
    const wrong: boolean[] = [];
    for (const piece of piecesOf(asked, context.batchSize ?? rows.length)) {
      const drawn = piece.map(({ ask, i }) => ask.at(i));
      const batch = float32(flattened(drawn, size), [piece.length, ...images.shape.slice(1)]);
      const indices = piece.map(({ index }) => index);
      const logits = await logitsOfRows(context, batch, indices, step);
      piece.forEach(({ index, ask }, i) => {
        const isWrong = argmax(logits[i] ?? new Float32Array(1)) !== labels.data[index];
        ask.heard?.(drawn[i] ?? new Float32Array(size), isWrong);
        wrong.push(isWrong);
      });
    }
    let at = 0;
    for (const { row, ask } of open) {
      const answers = wrong.slice(at, at + ask.count);
      at += ask.count;
      row.used += ask.count;
      row.ask = row.search.next(answers).value ?? undefined;
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
  const start =
    (yield* firstAdversarial(FIRST_TRIES, (step) => uniform(address('start', step), size))) ??
    (yield* firstAdversarial(...othersOf(context, index)));
  if (!start) return;
  let nearest = Number.POSITIVE_INFINITY;
  // The next point of the boundary may lie farther away than the one before.
  const keep = (found: Float32Array) => {
    const distance = distanceOf(found);
    if (distance >= nearest) return;
    nearest = distance;
    tell(found);
  };
  let point = yield* toBoundary(geometry, image, start);
  keep(point);
  for (let j = 1; distanceOf(point) > (epsilons[index] ?? 0); j++) {
    const distance = distanceOf(point);
    // sqrt(d) theta in l2 and d theta in linf are the same: 1 / d.
    const radius = j === 1 ? 0.1 : distance / size;
    const count = Math.floor(PROBES * Math.sqrt(j));
    const noise = (i: number) =>
      norm.name === 'linf'
        ? uniform(address(`probe/${j}`, i), size).map((u) => 2 * u - 1)
        : normal(address(`probe/${j}`, i), size);
    const direction = geometry.direction(yield* gradientAt(point, radius, count, noise));
    const jumped = yield* jump(point, direction, distance / Math.sqrt(j));
    point = yield* toBoundary(geometry, image, jumped);
    keep(point);
  }
}

/** The first of some images that is misclassified. Random ones may all fall into the sample's own class: then real ones of others are asked about. */
function* firstAdversarial(count: number, draw: (step: number) => Float32Array): Search<Float32Array | undefined> {
  for (let from = 0; from < count; from += TRIES_TOGETHER) {
    const answers = yield { count: Math.min(TRIES_TOGETHER, count - from), at: (i) => draw(from + i) };
    const found = answers.indexOf(true);
    if (found >= 0) return draw(from + found);
  }
  return undefined;
}

/** How many images of other classes there are, and each of them. */
function othersOf({ pool, labels, images }: AttackContext, index: number): [number, (i: number) => Float32Array] {
  const size = images.data.length / labels.data.length;
  const found = [...(pool?.labels.data.keys() ?? [])].filter((i) => pool?.labels.data[i] !== labels.data[index]);
  const imageAt = (i: number) => pool?.images.data.subarray(i * size, (i + 1) * size) as Float32Array;
  return [found.length, (i) => imageAt(found[i] ?? 0)];
}

/** The paper's tolerance is meant for real images; that of a tiny one would be coarse. */
const COARSEST = 1e-3;

/** The nearest adversarial point on the way to the image, by halving. */
function* toBoundary(
  { between, tolerance }: Geometry,
  image: Float32Array,
  adversarial: Float32Array,
): Search<Float32Array> {
  let [low, high] = [0, 1];
  const enough = Math.min(Math.max(tolerance(image.length), 1e-7), COARSEST);
  while (high - low > enough) {
    const middle = (low + high) / 2;
    const [wrong] = yield one(between(image, adversarial, middle));
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
): Search<Float32Array> {
  const at = (i: number) => {
    const drawn = noise(i);
    const length = euclidean(drawn);
    return point.map((value, k) => clip(value + (radius * (drawn[k] ?? 0)) / length));
  };
  // The mean answer is known at the end: of the probes' steps their sum, and that with the answers' signs.
  const [plain, signed] = [new Float64Array(point.length), new Float64Array(point.length)];
  const heard = (probe: Float32Array, wrong: boolean) => {
    for (let k = 0; k < point.length; k++) {
      const moved = (probe[k] ?? 0) - (point[k] ?? 0);
      plain[k] = (plain[k] ?? 0) + moved;
      signed[k] = (signed[k] ?? 0) + (wrong ? moved : -moved);
    }
  };
  const answers = yield { count, at, heard };
  const mean = answers.reduce((sum, wrong) => sum + (wrong ? 1 : -1), 0) / count;
  const offset = Math.abs(mean) === 1 ? 0 : mean;
  const gradient = point.map((_, k) => ((signed[k] ?? 0) - offset * (plain[k] ?? 0)) / radius);
  const length = euclidean(gradient) || 1;
  return gradient.map((value) => value / length);
}

function one(image: Float32Array): Question {
  return { count: 1, at: () => image };
}

/** Halvings of a jump before it is given up. */
const SHORTEST_JUMP = 20;

/** As far along the direction as the point stays adversarial, in halving steps. */
function* jump(point: Float32Array, direction: Float32Array, first: number): Search<Float32Array> {
  let length = first;
  for (let i = 0; i < SHORTEST_JUMP; i++, length /= 2) {
    const there = point.map((value, k) => clip(value + length * (direction[k] ?? 0)));
    const [wrong] = yield one(there);
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
