import { HAS, mainRadius, pairsOf, type StudyCell, seedsText } from './cells.ts';
import { EQUAL_CLEAN } from './choice.ts';
import { COST_BOUNDS, costOf } from './cost.ts';
import { compareIntervals, type Estimate, type Verdict } from './estimate.ts';
import type { Duel } from './findings.ts';
import { LABELS, type Profile } from './profile.ts';
import type { ExplanationRecord } from './record.ts';
import { decimal, percent, points, radiusText } from './text.ts';

/** What the evidence makes of a statement about every architecture, radius and method of a study. */
export type Ruling = 'holds' | 'holds so far' | 'does not hold' | 'undecided' | 'not measured';

/** A claim as far as one kind of numbers can test it. */
export interface ClaimTest {
  readonly statement: string;
  readonly ruling: Ruling;
  /** What it was decided by, in words. */
  readonly numbers: string;
  /** Verdicts on masked gradients of what was compared; empty where no robust accuracy was. */
  readonly masking: string;
}

export interface Claim {
  readonly title: string;
  readonly ruling: Ruling;
  readonly tests: readonly ClaimTest[];
}

/** What the method promises, as its abstract has it, and, as the last, what the combination would be for. */
export const CLAIMS = {
  transferred: 'Better robustness against transferred adversarial examples than adversarial training',
  general: 'Across architectures, against powerful attacks',
  interpretable: 'Predictions that are easy to interpret',
  cheap: 'Without the cost of adversarial training',
  whole: 'More than each of its halves at equal clean accuracy',
} as const;

/**
 * How each claim comes out in a study, for or against alike.
 * @param whole the whole study, where the profile is a part of it: what holds for a part holds so far
 */
export function claimsOf(
  profile: Profile,
  cells: readonly StudyCell[],
  duels: readonly Duel[],
  whole: Profile = profile,
): Claim[] {
  const isWhole = (rival: string) => haveAll(whole, cells, rival);
  const duelTest = (kind: Duel['kind'], rival: string, decided?: Decided) =>
    testOfDuels(
      profile,
      duels.filter((duel) => duel.kind === kind && duel.rival === rival),
      { kind, rival, isWhole: isWhole(rival), ...(decided ? { decided } : {}) },
    );
  return [
    claim(CLAIMS.transferred, [duelTest('transferred', LABELS.adversarial), duelTest('transferred', LABELS.equalTime)]),
    claim(CLAIMS.general, [
      duelTest('transferred', LABELS.standard),
      duelTest('white-box', LABELS.standard, unmasked),
      duelTest('white-box', LABELS.adversarial, unmasked),
    ]),
    claim(CLAIMS.interpretable, interpretability(profile, cells, isWhole)),
    claim(
      CLAIMS.cheap,
      COST_BOUNDS.map(([rival, bound]) => costTest(profile, cells, { rival, bound, isWhole: isWhole(rival) })),
    ),
    claim(CLAIMS.whole, [
      duelTest('transferred', LABELS.jacobian, atEqualClean),
      duelTest('transferred', LABELS.selective, atEqualClean),
    ]),
  ];
}

/** All of its tests have to hold; one that does not is enough against it. */
function claim(title: string, tests: readonly ClaimTest[]): Claim {
  const rulings = tests.map(({ ruling }) => ruling);
  const all = (ruling: Ruling) => rulings.every((each) => each === ruling);
  if (rulings.includes('does not hold')) return { title, ruling: 'does not hold', tests };
  if (rulings.every((each) => each.startsWith('holds')))
    return { title, ruling: all('holds') ? 'holds' : 'holds so far', tests };
  return { title, ruling: all('not measured') ? 'not measured' : 'undecided', tests };
}

/** Being behind once is enough; being ahead is final once all models that a statement is about are there. */
function rulingOf(verdicts: readonly Verdict[], isWhole: boolean): Ruling {
  if (verdicts.length === 0) return 'not measured';
  if (verdicts.includes('behind')) return 'does not hold';
  if (!verdicts.every((verdict) => verdict === 'ahead')) return 'undecided';
  return isWhole ? 'holds' : 'holds so far';
}

/** Whether J-SIGR and a rival were trained, to whatever end, on every architecture and at every seed. */
function haveAll({ architectures, seeds }: Profile, cells: readonly StudyCell[], rival: string): boolean {
  return [LABELS.jsigr, rival].every((label) =>
    architectures.every((architecture) => {
      const own = cells.filter((cell) => cell.label === label && cell.architecture === architecture);
      const runs = own.flatMap((cell) => cell.runs);
      return seeds.every((seed) => runs.some(({ spec, training }) => spec.seed === seed && training?.value.ended));
    }),
  );
}

/** What a comparison counts for, and why some do not. */
interface Decided {
  readonly verdict: (duel: Duel) => Verdict;
  readonly reason: string;
}

/** Who is ahead by figures that may be too good is not ahead. */
const unmasked: Decided = {
  verdict: ({ comparison: { verdict }, masking: [ours, theirs] }) => {
    const winner = verdict === 'behind' ? theirs : ours;
    return winner === 'no sign' ? verdict : 'undecided';
  },
  reason: 'the one ahead may have masked gradients',
};

/** Who is ahead at the cost of clean accuracy is not ahead. */
const atEqualClean: Decided = {
  verdict: ({ comparison: { verdict }, clean }) => {
    const price = verdict === 'behind' ? clean : -clean;
    return price <= EQUAL_CLEAN + 1e-9 ? verdict : 'undecided';
  },
  reason: `the one ahead has less clean accuracy by more than ${100 * EQUAL_CLEAN} points`,
};

const plainly: Decided = { verdict: ({ comparison }) => comparison.verdict, reason: '' };

function testOfDuels(
  profile: Profile,
  duels: readonly Duel[],
  {
    kind,
    rival,
    isWhole,
    decided = plainly,
  }: {
    readonly kind: Duel['kind'];
    readonly rival: string;
    readonly isWhole: boolean;
    readonly decided?: Decided;
  },
): ClaimTest {
  const attack = kind === 'transferred' ? 'transferred examples' : `white-box attacks (${profile.attack})`;
  const statement = `more robust than ${rival} under ${attack}`;
  const verdicts = duels.map(decided.verdict);
  const uncounted = duels.filter((duel, i) => duel.comparison.verdict !== verdicts[i]).length;
  const main = mainRadius(profile);
  const shown = duels.filter(({ radius }) => radius.norm === main.norm && radius.epsilon === main.epsilon);
  return {
    statement,
    ruling: rulingOf(verdicts, isWhole),
    numbers: joined([
      tallyText(verdicts),
      duels.length > 0 ? `${rangeText(duels.map(({ comparison }) => comparison.difference))} points` : '',
      ...new Set(duels.map(({ caveat }) => caveat)),
      uncounted > 0 ? `${uncounted} undecided because ${decided.reason}` : '',
      ...shown.map(
        ({ architecture, radius, robust: [ours, theirs], clean, seeds }) =>
          `${architecture}, ${radiusText(radius)}: ${share(ours)} against ${share(theirs)} % (clean ${points(clean)}${seeds && `; ${seeds}`})`,
      ),
    ]),
    masking: maskingText(shown, rival),
  };
}

function maskingText(duels: readonly Duel[], rival: string): string {
  return duels
    .map(({ architecture, masking: [ours, theirs] }) => `${architecture}: J-SIGR ${ours}, ${rival} ${theirs}`)
    .join('; ');
}

/** By what maps are compared. */
interface Measure {
  readonly metric: Exclude<keyof ExplanationRecord, 'method'>;
  readonly better: 'more' | 'less';
  readonly statement: string;
  readonly text: (estimate: Estimate) => string;
}

const asPercent = (estimate: Estimate) => `${percent(estimate)} %`;
const asArea = (estimate: Estimate) => decimal(estimate, 3);
/** Where there are masks they judge, elsewhere pixels that come and go. */
const BY_MASKS: readonly Measure[] = [
  { metric: 'mass', better: 'more', statement: 'more of the relevance on what makes the class', text: asPercent },
  { metric: 'rank', better: 'more', statement: 'more of the top pixels on what makes the class', text: asPercent },
];
const BY_PIXELS: readonly Measure[] = [
  { metric: 'insertion', better: 'more', statement: 'a greater area under insertion', text: asArea },
  { metric: 'deletion', better: 'less', statement: 'a smaller area under deletion', text: asArea },
];
const ALWAYS: readonly Measure[] = [
  { metric: 'stability', better: 'more', statement: 'maps that stay more alike under attack', text: asPercent },
];

function interpretability(
  profile: Profile,
  cells: readonly StudyCell[],
  isWhole: (rival: string) => boolean,
): ClaimTest[] {
  const hasMasks = cells.some((cell) => profile.methods.some((method) => cell.explained(method, 'mass')));
  const measures = [...(hasMasks ? BY_MASKS : BY_PIXELS), ...ALWAYS];
  return measures.flatMap(({ metric, better, statement, text }) =>
    [LABELS.standard, LABELS.adversarial].map((rival): ClaimTest => {
      const found = pairsOf(profile, cells, rival, HAS.explanation).flatMap(({ architecture, ours, theirs, seeds }) =>
        profile.methods.flatMap((method) => {
          const [own, other] = [ours.explained(method, metric), theirs.explained(method, metric)];
          if (!own || !other) return [];
          const verdict = better === 'more' ? compareIntervals(own, other) : compareIntervals(other, own);
          const missing = seedsText(seeds, profile);
          const of = missing ? `${architecture} (${missing})` : architecture;
          return [{ verdict, words: `${of}, ${method}: ${text(own)} against ${text(other)}` }];
        }),
      );
      const verdicts = found.map(({ verdict }) => verdict);
      return {
        statement: `${statement} than with ${rival}`,
        ruling: rulingOf(verdicts, isWhole(rival)),
        numbers: joined([tallyText(verdicts), ...found.map(({ words }) => words)]),
        masking: '',
      };
    }),
  );
}

function costTest(
  profile: Profile,
  cells: readonly StudyCell[],
  { rival, bound, isWhole }: { readonly rival: string; readonly bound: number; readonly isWhole: boolean },
): ClaimTest {
  const found = pairsOf(profile, cells, rival, HAS.epochs).map((pair) => {
    const missing = seedsText(pair.seeds, profile);
    const { verdict, text } = costOf(pair, bound);
    return { verdict, words: `${pair.architecture}: ${text}${missing && ` (${missing})`}` };
  });
  return {
    statement: `an epoch takes at most ${bound} times one of ${rival}`,
    ruling: rulingOf(
      found.map(({ verdict }) => verdict),
      isWhole,
    ),
    numbers: joined(found.map(({ words }) => words)),
    masking: '',
  };
}

function tallyText(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return '';
  const count = (verdict: Verdict) => verdicts.filter((each) => each === verdict).length;
  return `ahead in ${count('ahead')} of ${verdicts.length}, behind in ${count('behind')}`;
}

function rangeText(shares: readonly number[]): string {
  return `${points(Math.min(...shares))} to ${points(Math.max(...shares))}`;
}

function joined(texts: readonly string[]): string {
  return texts.filter((text) => text !== '').join('; ') || '-';
}

const share = (value: number) => (100 * value).toFixed(1);
