import type { ExactShare, LedgerComparison, PairedShares } from '@jsigr/attacks';
import { AttackAccess, type MaskingVerdict, type RobustnessReport } from '@jsigr/proto';
import { attackName, count, decimal, maskingName, percent, shortName } from '../terminal/format.ts';
import { type Paint, properties, table } from '../terminal/table.ts';

/** What `jsigr compare` shows: JSON-able. */
export interface Compared extends LedgerComparison {
  readonly first: Side;
  readonly second: Side;
  /** datasets/{id}, of both. */
  readonly dataset: string;
  readonly part: string;
  /** What a reader must know besides the figures. */
  readonly notes: readonly string[];
}

interface Side {
  readonly evaluation: string;
  readonly model: string;
  readonly masking: MaskingVerdict;
}

export function comparisonText(
  { first, second, dataset, part, samples, clean, robust, notes }: Compared,
  paint?: Paint,
): string {
  const head = properties([
    ['first', sideText(first)],
    ['second', sideText(second)],
    ['dataset', `${dataset}, part ${part}, ${count(samples)} samples that both have`],
  ]);
  const right = ['EPSILON', 'FIRST', 'SECOND', 'ONLY FIRST', 'ONLY SECOND', 'P'];
  const rows = [
    ['no attack', '-', ...figures(clean)],
    ...robust.map(({ norm, epsilon, source, ...shares }) => [
      `${norm} ${source === 'target' ? 'direct' : 'transferred'}`,
      decimal(epsilon),
      ...figures(shares),
    ]),
  ];
  const columns = [{ title: 'RIGHT UNDER' }, ...right.map((title) => ({ title, align: 'right' as const }))];
  const tail = properties([
    [
      'right',
      'in a ball: under the worst of all attacks in it or a smaller one, on the model itself (direct) or made on surrogates',
    ],
    ['intervals', '95 %, exact (Clopper and Pearson)'],
    [
      'p',
      'how likely so uneven a split of the images that one model alone has right is, if both are equally good (McNemar, exact, two-sided)',
    ],
    [
      'sampling',
      'intervals and p cover the choice of the images, not the weakness of an attack; each row is tested by itself',
    ],
    ...notes.map((note): [string, string] => ['note', note]),
  ]);
  return [head, table(columns, rows, paint), tail].join('\n');
}

function sideText({ evaluation, model, masking }: Side): string {
  return `${evaluation}, ${shortName(model)}, masking ${maskingName(masking)}`;
}

function figures({ first, second, onlyFirst, onlySecond, p }: PairedShares): string[] {
  return [shareText(first), shareText(second), count(onlyFirst), count(onlySecond), probability(p)];
}

function shareText({ value, low, high }: ExactShare): string {
  return `${percent(value)} [${(low * 100).toFixed(1)}, ${(high * 100).toFixed(1)}]`;
}

/** Below that the sum of the test is no more than its rounding. */
function probability(p: number): string {
  return p < 1e-12 ? '< 1e-12' : decimal(p);
}

/** What may make a difference besides the models, and what each report said. */
export function notesOf(first: RobustnessReport, second: RobustnessReport): string[] {
  const names = [first, second].map(({ attacks }) => new Set(attacks.filter(isAttack).map(attackName)));
  const [ours = new Set<string>(), theirs = new Set<string>()] = names;
  const [alone, other] = [[...ours].filter((name) => !theirs.has(name)), [...theirs].filter((name) => !ours.has(name))];
  return [
    ...onlyOne('first', alone),
    ...onlyOne('second', other),
    ...(surrogatesOf(first) === surrogatesOf(second)
      ? []
      : ['transferred examples were made on other surrogates for each']),
    ...first.flags.map((flag) => `first: ${flag}`),
    ...second.flags.map((flag) => `second: ${flag}`),
  ];
}

/** Empty where nothing was made on them. */
function surrogatesOf({ attacks, surrogates }: RobustnessReport): string {
  const isUsed = attacks.some(({ access }) => access === AttackAccess.ATTACK_ACCESS_TRANSFER);
  return isUsed ? surrogates.toSorted().join() : '';
}

function isAttack({ access }: RobustnessReport['attacks'][number]): boolean {
  return access !== AttackAccess.ATTACK_ACCESS_CONTROL;
}

function onlyOne(which: string, names: readonly string[]): string[] {
  return names.length === 0
    ? []
    : [`only the ${which} was attacked by ${names.join(', ')}: a difference may be that of the attacks`];
}
