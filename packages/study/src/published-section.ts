import { type Radius, type StudyCell } from './cells.ts';
import type { Estimate } from './estimate.ts';
import { LABELS, type Profile } from './profile.ts';
import { PUBLISHED, type PublishedRow } from './published.ts';
import { markdownTable, percent, radiusText } from './text.ts';
import { PLAIN_ATTACK, TRANSFER_RECIPE } from './transfer.ts';

/**
 * Figures that others published beside those of the study, where they are of the same dataset, norm and radius, marked as theirs and with what makes
 * them another experiment. Empty where there are none.
 */
export function publishedSection(profile: Profile, cells: readonly StudyCell[]): string {
  const tables = (['transferred', 'white-box'] as const).flatMap((kind) => {
    const rows = PUBLISHED.filter((row) => row.dataset === profile.dataset && row.kind === kind);
    const radii = radiiOf(profile, rows);
    return radii.length > 0 ? [tableOf(profile, cells, kind, rows, radii)] : [];
  });
  if (tables.length === 0) return '';
  return `Rows marked *theirs* are quoted from the papers, not measured here: other networks, images and trainings, as the last column says. They show in which region figures lie, and decide nothing.

${tables.join('\n')}`;
}

/** Radii of the main ball of which something was published. */
function radiiOf({ balls: [{ norm, epsilons }] }: Profile, rows: readonly PublishedRow[]): Radius[] {
  return epsilons
    .filter((epsilon) => rows.some((row) => row.norm === norm && robustAt(row, { norm, epsilon }) !== undefined))
    .map((epsilon) => ({ norm, epsilon }));
}

function robustAt({ robust }: PublishedRow, { epsilon }: Radius): number | undefined {
  return robust.find(([radius]) => Math.abs(radius - epsilon) < 1e-9)?.[1];
}

function tableOf(
  profile: Profile,
  cells: readonly StudyCell[],
  kind: PublishedRow['kind'],
  rows: readonly PublishedRow[],
  radii: readonly Radius[],
): string {
  const theirs = rows.map((row) => [
    `*theirs:* ${row.method}`,
    row.attack,
    row.clean?.toFixed(1) ?? '-',
    ...radii.map((radius) => robustAt(row, radius)?.toFixed(1) ?? '-'),
    'not known',
    `${row.setting} (${row.source})`,
  ]);
  const labels: readonly string[] = [LABELS.jsigr, ...rows.map(({ ours }) => ours)];
  const ours = cells
    .filter(({ label }) => labels.includes(label))
    .flatMap((cell) =>
      attacksOf(profile, kind).flatMap(({ name, of, setting }) => {
        const robust = radii.map((radius) => of(cell, radius));
        if (robust.every((estimate) => estimate === undefined)) return [];
        return [
          [
            `${cell.label}, ${cell.architecture}`,
            name,
            percent(cell.clean),
            ...robust.map(percent),
            cell.masking,
            setting,
          ],
        ];
      }),
    );
  return markdownTable(
    ['model', 'attack', 'clean', ...radii.map((radius) => `${kind} ${radiusText(radius)}`), 'masking', 'setting'],
    [...theirs, ...ours],
  );
}

interface OwnAttack {
  readonly name: string;
  readonly of: (cell: StudyCell, radius: Radius) => Estimate | undefined;
  readonly setting: string;
}

function attacksOf({ attack, samples }: Profile, kind: PublishedRow['kind']): OwnAttack[] {
  if (kind === 'white-box')
    return [
      {
        name: attack,
        of: (cell, radius) => cell.whiteBox(radius),
        setting: `the first ${samples.attacked} test images`,
      },
    ];
  const setting = `the first ${samples.transferred} test images; from every other architecture at once`;
  return [
    { name: PLAIN_ATTACK, of: (cell, radius) => cell.transferred(radius, PLAIN_ATTACK), setting },
    { name: TRANSFER_RECIPE, of: (cell, radius) => cell.transferred(radius), setting },
  ];
}
