import { AttackAccess, MaskingVerdict, Proportion, RobustnessReport } from '@jsigr/proto';
import type { ReportData, ReportedModel, Tile, TileGrid } from '../report/data.ts';
import { imagePicture, mapPicture, outlinePath } from '../report/pictures.ts';

/** A share of 500 made-up samples; the interval is the normal approximation, which is good enough to look at. */
export function shareOf(value: number, trials = 500): Proportion {
  const half = 1.96 * Math.sqrt((value * (1 - value)) / trials);
  return Proportion.fromPartial({
    successes: Math.round(value * trials),
    trials,
    value,
    lower: Math.max(0, value - half),
    upper: Math.min(1, value + half),
    confidence: 0.95,
  });
}

const EPSILONS = [0.1, 0.2, 0.3];

/** Clean, white-box and transferred accuracies that look like those of real runs. */
const MADE_UP = [
  {
    label: 'standard',
    meaning: 'cross-entropy alone',
    objective: 'standard',
    clean: 0.982,
    white: [0.204, 0.012, 0],
    moved: [0.612, 0.31, 0.152],
    seconds: 1.9,
    relevance: 0.241,
  },
  {
    label: 'PGD-AT',
    meaning: 'trained on adversarial examples',
    objective: 'pgd-at',
    clean: 0.954,
    white: [0.812, 0.522, 0.204],
    moved: [0.902, 0.81, 0.644],
    seconds: 16.4,
    relevance: 0.402,
  },
  {
    label: 'J-SIGR',
    meaning: 'Jacobian and selective gradient penalties',
    objective: 'jsigr',
    clean: 0.964,
    white: [0.702, 0.334, 0.096],
    moved: [0.872, 0.772, 0.601],
    seconds: 5.2,
    relevance: 0.457,
  },
];

/** A whole report of figures that nobody measured: for tests, and to look at the page. */
export function madeUpReport(): ReportData {
  const models = MADE_UP.map(madeUpModel);
  const columns = ['image', ...models.map(({ label }) => label)];
  return {
    createTime: new Date('2026-11-23T10:15:00Z'),
    command: 'jsigr demo --seed 1',
    dataset: 'datasets/glyphs',
    seed: 1,
    loop: { norm: 'linf', epsilon: 0.1, samples: 200 },
    headline: { norm: 'linf', epsilon: 0.1 },
    models,
    maskArea: 0.113,
    method: 'gradient',
    samples: ['ring', 'cross', 'arrow', 'stairs'].map((name, at) => madeUpGrid(at, name, columns)),
    methods: [
      {
        title: 'Test sample 0: ring',
        columns: ['gradient', 'smoothgrad', 'integrated-gradients', 'perturbation'],
        rows: models.map(({ label }, row) => ({
          label,
          tiles: [0, 1, 2, 3].map((column) => mapTile(0, row + column / 5, 'ring', true)),
        })),
      },
    ],
    facts: [
      [
        'Models',
        'lenet, 6 epochs of batches of 64, Adam; the best checkpoint by transferred attacks on held-out samples',
      ],
      ['Data', 'datasets/glyphs, sha256 0123456789ab'],
      ['Versions', 'jsigr 0.1.0, Node 24.21.0, linux x64, 2 cores'],
    ],
  };
}

function madeUpModel(
  { label, meaning, objective, clean, white, moved, seconds, relevance }: (typeof MADE_UP)[number],
  at: number,
): ReportedModel {
  const digest = `${at}123456789abcdef`.repeat(4);
  return {
    label,
    meaning,
    run: `trainingRuns/${objective}-1`,
    model: `models/${digest}`,
    architecture: 'lenet',
    settings: objective === 'pgd-at' ? { epsilon: '0.1' } : {},
    epochs: 6,
    secondsPerEpoch: seconds,
    curve: [1, 2, 3, 4, 5, 6].map((epoch) => {
      const share = 1 - 0.6 ** epoch;
      return {
        epoch,
        clean: shareOf(clean * share, 200),
        whiteBox: shareOf((white[0] ?? 0) * share, 200),
        transferred: shareOf((moved[0] ?? 0) * share, 200),
      };
    }),
    report: RobustnessReport.fromPartial({
      model: `models/${digest}`,
      dataset: 'datasets/glyphs',
      part: 'test',
      cleanAccuracy: shareOf(clean),
      attacks: EPSILONS.flatMap((epsilon, i) => [
        {
          attack: 'pgd',
          norm: 'linf',
          epsilon,
          access: AttackAccess.ATTACK_ACCESS_WHITE_BOX,
          robustAccuracy: shareOf(white[i] ?? 0),
          attackSuccess: shareOf(1 - (white[i] ?? 0) / clean),
          seconds: 4.2,
        },
        {
          attack: 'mi-fgsm',
          norm: 'linf',
          epsilon,
          access: AttackAccess.ATTACK_ACCESS_TRANSFER,
          robustAccuracy: shareOf(moved[i] ?? 0),
          attackSuccess: shareOf(1 - (moved[i] ?? 0) / clean),
          seconds: 1.1,
        },
      ]),
      epsilons: EPSILONS.map((epsilon, i) => ({
        norm: 'linf',
        epsilon,
        whiteBox: shareOf(white[i] ?? 0),
        transferred: shareOf(moved[i] ?? 0),
      })),
      surrogates: [
        'models/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
        'models/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',
      ],
      seed: 1,
      masking: MaskingVerdict.MASKING_VERDICT_NOT_ASSESSED,
      seconds: 12.5,
      command: `jsigr evaluate models/${digest.slice(0, 12)}`,
    }),
    relevance: { mean: relevance, lower: relevance - 0.021, upper: relevance + 0.021, count: 100 },
  };
}

const SIDE = 28;

// A ring of some radius around the middle: what makes the class in these pictures.
function ring(at: number): Uint8Array {
  return Uint8Array.from({ length: SIDE * SIDE }, (_, pixel) => {
    const distance = Math.hypot((pixel % SIDE) - 13.5, Math.floor(pixel / SIDE) - 13.5);
    return Math.abs(distance - 5 - at) < 1.5 ? 1 : 0;
  });
}

function madeUpGrid(at: number, name: string, columns: readonly string[]): TileGrid {
  const image = (noise: number): Tile => ({
    picture: imagePicture(
      Float32Array.from(
        ring(at),
        (inside, pixel) => 0.15 + 0.7 * inside + noise * Math.sign(Math.sin(pixel * 12.9898)),
      ),
      [SIDE, SIDE, 1],
    ),
    alt: `${name} ${noise > 0 ? 'attacked' : 'as it is'}`,
    caption: noise > 0 ? 'mi-fgsm 0.1' : name,
    outline: outlinePath(ring(at), SIDE, SIDE),
  });
  return {
    title: `Test sample ${at}: ${name}`,
    columns,
    rows: [
      { label: 'as it is', tiles: [image(0), ...[0, 1, 2].map((model) => mapTile(at, model, name, true))] },
      {
        label: 'attacked',
        tiles: [
          image(0.1),
          ...[0, 1, 2].map((model) => mapTile(at, model - 0.3, model === 0 ? 'hook' : name, model > 0)),
        ],
      },
    ],
  };
}

function mapTile(at: number, model: number, says: string, correct: boolean): Tile {
  const values = Float32Array.from(
    ring(at),
    (inside, pixel) => Math.sin(pixel * 78.233) * (1 - model / 3) + inside * Math.cos(pixel / 9) * model,
  );
  return {
    picture: mapPicture(values, [SIDE, SIDE]),
    alt: `map, which says ${says}`,
    caption: says,
    correct,
    outline: outlinePath(ring(at), SIDE, SIDE),
  };
}
