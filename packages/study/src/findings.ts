import {
  type BySeed,
  HAS,
  mainRadius,
  type Pair,
  pairOf,
  pairsOf,
  type Radius,
  radiiOf,
  type StudyCell,
  seedsText,
} from './cells.ts';
import { EQUAL_CLEAN } from './choice.ts';
import { COST_BOUNDS, costOf, sameTimeShares } from './cost.ts';
import { type Comparison, compare, compareIntervals, shareOf, type Verdict } from './estimate.ts';
import { LABELS, type Profile } from './profile.ts';
import type { RunRecord, RunSpec } from './record.ts';
import { percent, points, pValue, radiusText } from './text.ts';

/** J-SIGR beside another objective, on one architecture, in one ball. */
export interface Duel {
  readonly architecture: string;
  readonly kind: 'transferred' | 'white-box';
  readonly radius: Radius;
  readonly rival: string;
  readonly isStrongest: boolean;
  readonly comparison: Comparison;
  /** Robust accuracy of J-SIGR and of the rival, 0..1. */
  readonly robust: readonly [number, number];
  /** Clean accuracy of J-SIGR minus that of the rival, in shares. */
  readonly clean: number;
  /** Of J-SIGR and of the rival. */
  readonly masking: readonly [string, string];
  /** `seeds 1, 3 of 3`, the seeds of which all figures are; empty where none of the study's is missing. */
  readonly seeds: string;
  /** Why the comparison decides nothing, whatever its numbers; empty where it does. */
  readonly caveat: string;
}

/** J-SIGR against standard training, its halves and adversarial training, and against whoever is best there. */
export function duelsOf(profile: Profile, cells: readonly StudyCell[]): Duel[] {
  const { jsigr: _, ...rivals } = LABELS;
  const named: readonly string[] = Object.values(rivals);
  return profile.architectures.flatMap((architecture) => {
    const own = cells.filter((cell) => cell.architecture === architecture);
    const ours = own.find(({ label }) => label === LABELS.jsigr);
    if (!ours) return [];
    const others = own.filter(({ label }) => !label.startsWith(LABELS.jsigr));
    return (['transferred', 'white-box'] as const).flatMap((kind) =>
      radiiOf(profile).flatMap((radius) => {
        const rivals = others.flatMap((cell) => measured(ours, cell, kind, radius) ?? []);
        const strongest = rivals.toSorted((one, other) => other.robust[1] - one.robust[1])[0];
        return rivals
          .filter((each) => each === strongest || named.includes(each.theirs.label))
          .map((each) => duelOf(profile, own, each, { kind, radius, isStrongest: each === strongest }));
      }),
    );
  });
}

/** A pair at the seeds of which both were attacked, with what came of it. */
interface Measured extends Pair {
  readonly comparison: Comparison;
  readonly robust: readonly [number, number];
}

function measured(ours: StudyCell, theirs: StudyCell, kind: Duel['kind'], radius: Radius): Measured | undefined {
  const of = (cell: StudyCell) =>
    kind === 'transferred' ? cell.transferredOutcomes(radius) : cell.whiteBoxOutcomes(radius);
  const [own, other] = [of(ours), of(theirs)];
  // Clean accuracies stand beside every difference.
  const pair = pairOf(ours, theirs, (run) => HAS.clean(run) && own.has(run.spec.seed) && other.has(run.spec.seed));
  if (!pair) return undefined;
  const at = (outcomes: BySeed): BySeed => new Map([...outcomes].filter(([seed]) => pair.seeds.includes(seed)));
  const share = (outcomes: BySeed) => shareOf([...at(outcomes).values()])?.mean ?? 0;
  return {
    ...pair,
    comparison: compare(at(own), at(other), `${ours.architecture}, ${theirs.label}`),
    robust: [share(own), share(other)],
  };
}

function duelOf(
  profile: Profile,
  cells: readonly StudyCell[],
  { architecture, ours, theirs, seeds, comparison, robust }: Measured,
  at: Pick<Duel, 'kind' | 'radius' | 'isStrongest'>,
): Duel {
  const caveat = caveatOf(profile, { architecture, ours, theirs, seeds }, cells);
  return {
    architecture,
    ...at,
    rival: theirs.label,
    comparison: caveat ? { ...comparison, verdict: 'undecided' } : comparison,
    robust,
    clean: cleanDifference({ ours, theirs }),
    masking: [ours.masking, theirs.masking],
    caveat,
    seeds: seedsText(seeds, profile),
  };
}

/** What a row at the same time may take more or less than the training whose time it was to have, as a share of it. */
const SAME_TIME = 0.1;

/** Adversarial training without the warm-up that it is given elsewhere, or with less or more time than it was to have, is no rival to be judged by. */
function caveatOf({ objectives }: Profile, pair: Pair, cells: readonly StudyCell[]): string {
  const { label, runs } = pair.theirs;
  const row = objectives.find((each) => each.label === label);
  const { sameTime } = row ?? {};
  if (!row || !sameTime) return '';
  const warmsUp = ({ epsilonWarmupEpochs = 0 }: RunSpec['settings']) => Number(epsilonWarmupEpochs) > 0;
  if (row.recipes.some(({ settings }) => warmsUp(settings)) && !runs.every(({ spec }) => warmsUp(spec.settings)))
    return `${label} was trained for one epoch or less, too short for its warm-up`;
  const pace = cells.find((cell) => cell.label === sameTime.pace && cell.architecture === pair.architecture);
  const shares = sameTimeShares(pair, pace);
  if (shares.length < pair.seeds.length) return `${label} has no time that can be compared: another machine, or none`;
  if (shares.every((share) => Math.abs(share - 1) <= SAME_TIME)) return '';
  return `${label} took ${shares.map((share) => share.toFixed(2)).join(', ')} of the time, by the fastest epochs`;
}

/** What the numbers say of the method's claims, one sentence each, for or against alike. */
export function findings(profile: Profile, cells: readonly StudyCell[], duels: readonly Duel[]): string[] {
  const of = (label: string, has: (run: RunRecord) => boolean) => pairsOf(profile, cells, label, has);
  return [
    ...[LABELS.jacobian, LABELS.selective, LABELS.ross, LABELS.adversarial, LABELS.equalTime].flatMap((rival) =>
      (['transferred', 'white-box'] as const).flatMap((kind) => tally(duels, rival, kind)),
    ),
    ...strongestText(duels),
    ...of(LABELS.standard, HAS.clean).map((pair) => cleanText(profile, pair)),
    ...[LABELS.jacobian, LABELS.selective].flatMap((half) =>
      of(half, HAS.clean).map((pair) => `${cleanText(profile, pair)} ${matchText(pair)}`),
    ),
    ...COST_BOUNDS.flatMap(([rival, bound]) => of(rival, HAS.epochs).map((pair) => costText(profile, pair, bound))),
    ...[LABELS.standard, LABELS.adversarial].flatMap((rival) =>
      of(rival, HAS.explanation).flatMap((pair) => relevanceText(profile, pair)),
    ),
    ...maskingText(profile, cells),
    ...cells.flatMap(({ architecture, label, troubles }) =>
      troubles.map((trouble) => `Training broke down: ${architecture}, ${label}, ${trouble}.`),
    ),
  ];
}

function tally(duels: readonly Duel[], rival: string, kind: Duel['kind']): string[] {
  const own = duels.filter((duel) => duel.rival === rival && duel.kind === kind);
  if (own.length === 0) return [];
  const count = (verdict: Verdict) => own.filter(({ comparison }) => comparison.verdict === verdict).length;
  const differences = own.map(({ comparison }) => comparison.difference);
  const range = `${points(Math.min(...differences))} to ${points(Math.max(...differences))} points`;
  const caveats = new Set([
    ...own.flatMap(({ caveat }) => caveat || []),
    ...own.flatMap(({ architecture, seeds }) => (seeds ? `${architecture}: ${seeds}` : [])),
  ]);
  const kindText = kind === 'transferred' ? 'Transferred examples' : 'White-box attacks';
  return [
    `${kindText}, J-SIGR against ${rival}: ahead in ${count('ahead')} of ${own.length} comparisons (architecture and radius), behind in ${count('behind')}, undecided in ${count('undecided')}; ${range}${[...caveats].map((caveat) => `; ${caveat}`).join('')}.`,
  ];
}

function strongestText(duels: readonly Duel[]): string[] {
  return (['transferred', 'white-box'] as const).flatMap((kind) => {
    const own = duels.filter((duel) => duel.isStrongest && duel.kind === kind);
    if (own.length === 0) return [];
    const names = [...new Set(own.map(({ rival }) => rival))].join(' or ');
    const each = own.length > 1 ? ', comparison by comparison,' : '';
    const ahead = own.filter(({ comparison }) => comparison.verdict === 'ahead').length;
    const behind = own.filter(({ comparison }) => comparison.verdict === 'behind').length;
    return [
      `The strongest rival under ${kind === 'transferred' ? 'transferred examples' : 'white-box attacks'} is${each} ${names}: J-SIGR is ahead of it in ${ahead} of ${own.length} comparisons, behind in ${behind}.`,
    ];
  });
}

/** Of what is to be compared, at seeds that both have. */
function cleanDifference({ ours, theirs }: Pick<Pair, 'ours' | 'theirs'>): number {
  return (ours.clean?.mean ?? 0) - (theirs.clean?.mean ?? 0);
}

function cleanText(profile: Profile, pair: Pair): string {
  const { ours, theirs } = pair;
  return `Clean accuracy, ${where(profile, pair)}: J-SIGR ${percent(ours.clean)} %, ${theirs.label} ${percent(theirs.clean)} %, a difference of ${points(cleanDifference(pair))} points.`;
}

/** The architecture, with the seeds where some are missing. */
function where(profile: Profile, { architecture, seeds }: Pair): string {
  const text = seedsText(seeds, profile);
  return text ? `${architecture} (${text})` : architecture;
}

/** Whether a half can be compared at equal clean accuracy, on test images. */
function matchText(pair: Pair): string {
  const isEqual = Math.abs(cleanDifference(pair)) <= EQUAL_CLEAN + 1e-9;
  return `Equal to within ${100 * EQUAL_CLEAN} points: ${isEqual ? 'yes' : 'no'}.`;
}

function costText(profile: Profile, pair: Pair, bound: number): string {
  const { verdict, text } = costOf(pair, bound);
  const holds = { ahead: 'holds', behind: 'does not hold', undecided: 'is undecided' }[verdict];
  return `Cost, ${where(profile, pair)}: an epoch of J-SIGR in epochs of ${pair.theirs.label}: ${text}; the bound of ${bound} ${holds}.`;
}

function relevanceText(profile: Profile, pair: Pair): string[] {
  const { ours, theirs } = pair;
  return profile.methods.flatMap((method) => {
    const [own, other] = [ours.explained(method, 'mass'), theirs.explained(method, 'mass')];
    if (!own || !other) return [];
    const words = {
      ahead: 'J-SIGR is above, and the intervals do not overlap',
      behind: 'J-SIGR is below, and the intervals do not overlap',
      undecided: 'the intervals overlap',
    }[compareIntervals(own, other)];
    return [
      `Relevance mass inside the masks (${method}), ${where(profile, pair)}: J-SIGR ${percent(own)} %, ${theirs.label} ${percent(other)} %: ${words}.`,
    ];
  });
}

function maskingText(profile: Profile, cells: readonly StudyCell[]): string[] {
  const at = radiusText(mainRadius(profile));
  return (['evident', 'suspected', 'not assessed'] as const).flatMap((verdict) => {
    const own = cells.filter(({ masking }) => masking === verdict);
    if (own.length === 0) return [];
    const names = own.map(({ architecture, label }) => `${label} (${architecture})`).join(', ');
    return [
      verdict === 'not assessed'
        ? `Masked gradients were not looked for at ${names}: their white-box figures are upper bounds.`
        : `Masked gradients are ${verdict} at ${names} (${at}): their white-box figures may be too good.`,
    ];
  });
}

export function duelCells({
  architecture,
  kind,
  radius,
  rival,
  isStrongest,
  comparison,
  clean,
  masking,
  caveat,
  seeds,
}: Duel): string[] {
  const { difference, p, verdict } = comparison;
  return [
    architecture,
    kind,
    radiusText(radius),
    `${rival}${isStrongest ? ' (the strongest)' : ''}`,
    points(difference),
    `${p.map(pValue).join(', ')}${seeds ? ` (${seeds})` : ''}`,
    caveat ? `${verdict}: ${caveat}` : verdict,
    points(clean),
    masking[0] === masking[1] ? masking[0] : `J-SIGR ${masking[0]}, rival ${masking[1]}`,
  ];
}
