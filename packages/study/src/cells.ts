import { type Estimate, figureOf, meanOf, shareOf } from './estimate.ts';
import { allOf, type Outcomes } from './outcomes.ts';
import { type Ball, LABELS, type Profile } from './profile.ts';
import type { ExplanationRecord, Moments, RunRecord, TrainingRecord } from './record.ts';
import { secondsPerEpoch, secondsTo, THEN } from './training.ts';

/** A ball of one radius. */
export interface Radius {
  readonly norm: Ball['norm'];
  readonly epsilon: number;
}

/** Outcomes of the same samples by seed; a seed whose training broke down is not among them. */
export type BySeed = ReadonlyMap<number, Outcomes>;

function bySeed(runs: readonly RunRecord[], of: (run: RunRecord) => Outcomes | undefined): BySeed {
  return new Map(
    runs.flatMap((run) => {
      const outcomes = of(run);
      return outcomes ? [[run.spec.seed, outcomes] as const] : [];
    }),
  );
}

/** One architecture with one objective, over all seeds. */
export class StudyCell {
  readonly architecture: string;
  readonly label: string;
  readonly runs: readonly RunRecord[];

  constructor(architecture: string, label: string, runs: readonly RunRecord[]) {
    this.architecture = architecture;
    this.label = label;
    this.runs = runs;
  }

  /** The same of some seeds alone. */
  over(seeds: readonly number[]): StudyCell {
    return new StudyCell(
      this.architecture,
      this.label,
      this.runs.filter(({ spec }) => seeds.includes(spec.seed)),
    );
  }

  /** Accuracy without attack, on all test samples. */
  get clean(): Estimate | undefined {
    return shareOf(this.runs.flatMap(({ measures }) => measures.clean?.value ?? []));
  }

  /**
   * Who of the samples withstands the examples of every other architecture, seed by seed.
   * @param attack a further attack that made examples; by default the study's own
   */
  transferredOutcomes(radius: Radius, attack?: string): BySeed {
    return bySeed(this.runs, ({ measures }) => {
      const sources = Object.entries(measures.transfer?.value.sources ?? {});
      const others = sources.filter(([source]) => source !== this.architecture);
      const cells = others.flatMap(([, each]) => each.filter((cell) => cell.attack === attack && isAt(cell, radius)));
      return cells.length > 0 ? allOf(cells.map(({ robust }) => robust)) : undefined;
    });
  }

  transferred(radius: Radius, attack?: string): Estimate | undefined {
    return shareOf([...this.transferredOutcomes(radius, attack).values()]);
  }

  transferredFrom(source: string, radius: Radius): Estimate | undefined {
    return shareOf(
      this.runs.flatMap(({ measures }) =>
        (measures.transfer?.value.sources[source] ?? []).flatMap((cell) =>
          cell.attack === undefined && isAt(cell, radius) ? cell.robust : [],
        ),
      ),
    );
  }

  whiteBoxOutcomes(radius: Radius): BySeed {
    return bySeed(
      this.runs,
      ({ measures }) => measures.whiteBox?.value.cells.find((cell) => isAt(cell, radius))?.robust,
    );
  }

  whiteBox(radius: Radius): Estimate | undefined {
    return shareOf([...this.whiteBoxOutcomes(radius).values()]);
  }

  corrupted(name: string, severity: number): Estimate | undefined {
    return shareOf(
      this.runs.flatMap(({ measures }) =>
        (measures.corruption?.value ?? []).flatMap((each) =>
          each.name === name && each.severity === severity ? each.correct : [],
        ),
      ),
    );
  }

  explained(method: string, metric: Exclude<keyof ExplanationRecord, 'method'>): Estimate | undefined {
    const moments = this.runs.flatMap(({ measures }): Moments[] => {
      const record = measures.explanation?.value.find((each) => each.method === method);
      const value = record?.[metric];
      return value ? [value] : [];
    });
    return meanOf(moments);
  }

  /** Of the seeds that made one. */
  get secondsPerEpoch(): Estimate | undefined {
    return figureOf(this.runs.flatMap(({ training }) => (training && secondsPerEpoch(training.value)) ?? []));
  }

  /** Seconds of the whole training, of those that made an epoch. */
  get seconds(): Estimate | undefined {
    return figureOf(
      this.runs.flatMap(({ training }) =>
        training?.value.epochs.length ? training.value.epochs.reduce((sum, each) => sum + each.seconds, 0) : [],
      ),
    );
  }

  /** Only where every seed got there. */
  secondsTo(target: number): Estimate | undefined {
    const each = this.runs.map(({ training }) => training && secondsTo(training.value, target));
    return each.every((seconds): seconds is number => seconds !== undefined) ? figureOf(each) : undefined;
  }

  /** The gravest verdict of the seeds; `-` where no model is made. */
  get masking(): string {
    if (this.runs.length === 0) return '-';
    const verdicts = this.runs.map(({ measures }) => {
      const masking = measures.whiteBox?.value.masking ?? 'not assessed';
      return masking === 'not assessed' ? masking : VERDICTS[masking.verdict];
    });
    return GRAVITY.find((verdict) => verdicts.includes(verdict)) ?? 'not assessed';
  }

  /** What was seen of masked gradients, each sign once. */
  get maskingSigns(): string[] {
    const signs = this.runs.flatMap(({ spec, measures }) => {
      const masking = measures.whiteBox?.value.masking ?? 'not assessed';
      if (masking === 'not assessed') return [];
      return masking.signals
        .filter(({ verdict }) => verdict !== 'no_sign')
        .map(({ evidence }) => `seed ${spec.seed}: ${evidence}`);
    });
    return [...new Set(signs)];
  }

  /** Why trainings broke down. */
  get troubles(): string[] {
    return this.runs.flatMap(({ spec, training }) => {
      const ended = training?.value.ended ?? 'not trained';
      return ended === 'completed' ? [] : [`seed ${spec.seed}: ${ended}`];
    });
  }
}

const VERDICTS = { no_sign: 'no sign', suspected: 'suspected', evident: 'evident' } as const;
const GRAVITY = ['evident', 'suspected', 'not assessed', 'no sign'] as const;

/** Two cells of an architecture at the seeds that both have: means over other seeds are not compared. */
export interface Pair {
  readonly architecture: string;
  readonly ours: StudyCell;
  readonly theirs: StudyCell;
  readonly seeds: readonly number[];
}

/** @param has whether a run has what is to be compared; undefined: no seed of both does */
export function pairOf(ours: StudyCell, theirs: StudyCell, has: (run: RunRecord) => boolean): Pair | undefined {
  const seedsOf = ({ runs }: StudyCell) => runs.filter(has).map(({ spec }) => spec.seed);
  const other = seedsOf(theirs);
  const seeds = seedsOf(ours).filter((seed) => other.includes(seed));
  const { architecture } = ours;
  return seeds.length > 0 ? { architecture, ours: ours.over(seeds), theirs: theirs.over(seeds), seeds } : undefined;
}

/** Seconds (of an epoch, on average) of the one by those of the other, of the seeds that were trained on the same machine. */
export function costRatios(
  { ours, theirs, seeds }: Pick<Pair, 'ours' | 'theirs' | 'seeds'>,
  secondsOf: (training: TrainingRecord) => number | undefined = secondsPerEpoch,
): number[] {
  return seeds.flatMap((seed) => {
    const [own, other] = [ours, theirs].map(({ runs }) => runs.find(({ spec }) => spec.seed === seed)?.training?.value);
    if (!own || !other || own.machine !== other.machine || own.machine.includes(THEN)) return [];
    const [seconds, base] = [secondsOf(own), secondsOf(other)];
    return seconds === undefined || base === undefined ? [] : [seconds / base];
  });
}

/** J-SIGR beside another objective, on every architecture where seeds of both have what is to be compared. */
export function pairsOf(
  { architectures }: Profile,
  cells: readonly StudyCell[],
  rival: string,
  has: (run: RunRecord) => boolean,
): Pair[] {
  return architectures.flatMap((architecture) => {
    const own = cells.filter((cell) => cell.architecture === architecture);
    const [ours, theirs] = [LABELS.jsigr, rival].map((label) => own.find((cell) => cell.label === label));
    return (ours && theirs && pairOf(ours, theirs, has)) ?? [];
  });
}

/** What a run may have that is compared. */
export const HAS = {
  clean: ({ measures }: RunRecord) => measures.clean !== undefined,
  epochs: ({ training }: RunRecord) => training !== undefined && training.value.epochs.length > 0,
  explanation: ({ measures }: RunRecord) => measures.explanation !== undefined,
} as const;

/** `seeds 1, 3 of 3`; empty where none of the study's is missing. */
export function seedsText(seeds: readonly number[], profile: Pick<Profile, 'seeds'>): string {
  const count = profile.seeds.length;
  return seeds.length < count ? `seed${seeds.length > 1 ? 's' : ''} ${seeds.join(', ')} of ${count}` : '';
}

/** The cells of a study, architecture by architecture, in the order of the profile. */
export function cellsOf({ architectures, objectives }: Profile, runs: readonly RunRecord[]): StudyCell[] {
  return architectures.flatMap((architecture) =>
    objectives.map(
      ({ label }) =>
        new StudyCell(
          architecture,
          label,
          runs.filter(({ spec }) => spec.architecture === architecture && spec.label === label),
        ),
    ),
  );
}

/** Every radius of every ball. */
export function radiiOf({ balls }: Profile): Radius[] {
  return balls.flatMap(({ norm, epsilons }) => epsilons.map((epsilon) => ({ norm, epsilon })));
}

/** The largest radius of the main ball. */
export function mainRadius({ balls: [{ norm, epsilons }] }: Profile): Radius {
  return { norm, epsilon: epsilons.at(-1) ?? 0 };
}

function isAt(cell: { readonly norm: string; readonly epsilon: number }, { norm, epsilon }: Radius): boolean {
  return cell.norm === norm && cell.epsilon === epsilon;
}
