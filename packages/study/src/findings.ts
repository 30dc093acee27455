import { mainRadius, type Radius, radiiOf, type StudyCell } from './cells.ts';
import { EQUAL_CLEAN } from './choice.ts';
import { type Comparison, compare, compareIntervals, type Verdict } from './estimate.ts';
import { LABELS, type Profile } from './profile.ts';
import type { RunSpec } from './record.ts';
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
  /** Why the comparison decides nothing, whatever its numbers; empty where it does. */
  readonly caveat: string;
}

/** J-SIGR against standard training, its halves and adversarial training, and against whoever is best there. */
export function duelsOf(profile: Profile, cells: readonly StudyCell[]): Duel[] {
  const { standard, jacobian, selective, adversarial, equalTime } = LABELS;
  const named: readonly string[] = [standard, jacobian, selective, adversarial, equalTime];
  return profile.architectures.flatMap((architecture) => {
    const own = cells.filter((cell) => cell.architecture === architecture);
    const ours = own.find(({ label }) => label === LABELS.jsigr);
    if (!ours) return [];
    const others = own.filter(({ label }) => !label.startsWith(LABELS.jsigr));
    return (['transferred', 'white-box'] as const).flatMap((kind) =>
      radiiOf(profile).flatMap((radius) => {
        const of = (cell: StudyCell) =>
          kind === 'transferred' ? cell.transferredOutcomes(radius) : cell.whiteBoxOutcomes(radius);
        const share = (cell: StudyCell) =>
          (kind === 'transferred' ? cell.transferred(radius) : cell.whiteBox(radius))?.mean ?? -1;
        const strongest = others.toSorted((a, b) => share(b) - share(a))[0];
        return others
          .filter((cell) => of(cell).size > 0 && (cell === strongest || named.includes(cell.label)))
          .map((cell): Duel => {
            const comparison = compare(of(ours), of(cell));
            const caveat = caveatOf(profile, cell);
            return {
              architecture,
              kind,
              radius,
              rival: cell.label,
              isStrongest: cell === strongest,
              comparison: caveat ? { ...comparison, verdict: 'undecided' } : comparison,
              robust: [share(ours), share(cell)] as const,
              clean: (ours.clean?.mean ?? 0) - (cell.clean?.mean ?? 0),
              masking: [ours.masking, cell.masking] as const,
              caveat,
            };
          });
      }),
    );
  });
}

/** Adversarial training without the warm-up that it is given elsewhere is no rival to be judged by. */
function caveatOf({ objectives }: Profile, { label, runs }: StudyCell): string {
  const row = objectives.find((each) => each.label === label);
  const warmsUp = ({ epsilonWarmupEpochs = 0 }: RunSpec['settings']) => Number(epsilonWarmupEpochs) > 0;
  if (!row?.sameTime || !row.recipes.some(({ settings }) => warmsUp(settings))) return '';
  if (runs.every(({ spec }) => warmsUp(spec.settings))) return '';
  return `${label} was trained for one epoch or less, too short for its warm-up`;
}

/** What the numbers say of the method's claims, one sentence each, for or against alike. */
export function findings(profile: Profile, cells: readonly StudyCell[], duels: readonly Duel[]): string[] {
  const of = (label: string) =>
    profile.architectures.flatMap((architecture) => {
      const ours = cells.find((cell) => cell.architecture === architecture && cell.label === LABELS.jsigr);
      const theirs = cells.find((cell) => cell.architecture === architecture && cell.label === label);
      return ours && theirs ? [{ architecture, ours, theirs }] : [];
    });
  return [
    ...[LABELS.jacobian, LABELS.selective, LABELS.adversarial, LABELS.equalTime].flatMap((rival) =>
      (['transferred', 'white-box'] as const).flatMap((kind) => tally(duels, rival, kind)),
    ),
    ...strongestText(duels),
    ...of(LABELS.standard).map(cleanText),
    ...[LABELS.jacobian, LABELS.selective].flatMap((half) =>
      of(half).map((pair) => `${cleanText(pair)} ${matchText(pair)}`),
    ),
    ...of(LABELS.standard).flatMap((pair) => costText(pair, 'standard', 4)),
    ...of(LABELS.adversarial).flatMap((pair) => costText(pair, LABELS.adversarial, 0.6)),
    ...[LABELS.standard, LABELS.adversarial].flatMap((rival) =>
      of(rival).flatMap(({ architecture, ours, theirs }) => relevanceText(profile, architecture, ours, theirs)),
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
  const caveats = [...new Set(own.flatMap(({ caveat }) => caveat || []))];
  const kindText = kind === 'transferred' ? 'Transferred examples' : 'White-box attacks';
  return [
    `${kindText}, J-SIGR against ${rival}: ahead in ${count('ahead')} of ${own.length} comparisons (architecture and radius), behind in ${count('behind')}, undecided in ${count('undecided')}; ${range}${caveats.map((caveat) => `; ${caveat}`).join('')}.`,
  ];
}

function strongestText(duels: readonly Duel[]): string[] {
  return (['transferred', 'white-box'] as const).flatMap((kind) => {
    const own = duels.filter((duel) => duel.isStrongest && duel.kind === kind);
    if (own.length === 0) return [];
    const names = [...new Set(own.map(({ rival }) => rival))].join(', ');
    const ahead = own.filter(({ comparison }) => comparison.verdict === 'ahead').length;
    const behind = own.filter(({ comparison }) => comparison.verdict === 'behind').length;
    return [
      `The strongest rival under ${kind === 'transferred' ? 'transferred examples' : 'white-box attacks'} is ${names}: J-SIGR is ahead of it in ${ahead} of ${own.length} comparisons, behind in ${behind}.`,
    ];
  });
}

interface Pair {
  readonly architecture: string;
  readonly ours: StudyCell;
  readonly theirs: StudyCell;
}

function cleanText({ architecture, ours, theirs }: Pair): string {
  const difference = (ours.clean?.mean ?? 0) - (theirs.clean?.mean ?? 0);
  return `Clean accuracy, ${architecture}: J-SIGR ${percent(ours.clean)} %, ${theirs.label} ${percent(theirs.clean)} %, a difference of ${points(difference)} points.`;
}

/** Whether a half can be compared at equal clean accuracy, on test images. */
function matchText({ ours, theirs }: Pair): string {
  const difference = Math.abs((ours.clean?.mean ?? 0) - (theirs.clean?.mean ?? 0));
  return `Equal to within ${100 * EQUAL_CLEAN} points: ${difference <= EQUAL_CLEAN + 1e-9 ? 'yes' : 'no'}.`;
}

function costText({ architecture, ours, theirs }: Pair, rival: string, bound: number): string[] {
  if (!ours.secondsPerEpoch || !theirs.secondsPerEpoch) return [];
  const ratio = ours.secondsPerEpoch.mean / theirs.secondsPerEpoch.mean;
  const holds = ratio <= bound ? 'holds' : 'does not hold';
  return [
    `Cost, ${architecture}: an epoch of J-SIGR takes ${ratio.toFixed(2)} times one of ${rival}; the bound of ${bound} ${holds}.`,
  ];
}

function relevanceText(profile: Profile, architecture: string, ours: StudyCell, theirs: StudyCell): string[] {
  return profile.methods.flatMap((method) => {
    const [own, other] = [ours.explained(method, 'mass'), theirs.explained(method, 'mass')];
    if (!own || !other) return [];
    const words = {
      ahead: 'J-SIGR is above, and the intervals do not overlap',
      behind: 'J-SIGR is below, and the intervals do not overlap',
      undecided: 'the intervals overlap',
    }[compareIntervals(own, other)];
    return [
      `Relevance mass inside the masks (${method}), ${architecture}: J-SIGR ${percent(own)} %, ${theirs.label} ${percent(other)} %: ${words}.`,
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
}: Duel): string[] {
  const { difference, p, verdict } = comparison;
  return [
    architecture,
    kind,
    radiusText(radius),
    `${rival}${isStrongest ? ' (the strongest)' : ''}`,
    points(difference),
    p.map(pValue).join(', '),
    caveat ? `${verdict}: ${caveat}` : verdict,
    points(clean),
    masking[0] === masking[1] ? masking[0] : `J-SIGR ${masking[0]}, rival ${masking[1]}`,
  ];
}
