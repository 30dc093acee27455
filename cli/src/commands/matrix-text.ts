import {
  AttackAccess,
  type Evaluation,
  type Model,
  type Proportion,
  type TransferMatrix,
  type TransferTable,
} from '@jsigr/proto';
import { attackName, count, decimal, proportion, shortName } from '../terminal/format.ts';
import { type Paint, properties, table } from '../terminal/table.ts';

/** What a model is called in a matrix: what it is, and the first digits of its digest. */
export function labelsOf(models: readonly Model[]): string[] {
  return models.map(({ name, displayName, architecture, objective }) =>
    [displayName || architecture, objective, name.replace('models/', '').slice(0, 6)].filter(Boolean).join(' '),
  );
}

/** Which of a cell's two figures. */
export type Share = 'common' | 'own';

/** What one figure of a table says, for captions. */
export function shareWords(share: Share, { commonSamples }: TransferMatrix): string {
  return share === 'common'
    ? `of the ${count(commonSamples)} samples that all models classify correctly`
    : 'of the samples that the target classifies correctly';
}

/** Sources that the attack was made on, each with its row of figures; a control was made on none. */
export function rowsOf(
  { cells, access }: TransferTable,
  share: Share,
  labels: readonly string[],
): { readonly label: string; readonly shares: readonly (Proportion | undefined)[] }[] {
  const sources = [...new Set(cells.map(({ source }) => source))];
  return sources.map((source) => ({
    label: access === AttackAccess.ATTACK_ACCESS_CONTROL ? 'no model' : (labels[source] ?? ''),
    shares: cells.filter((cell) => cell.source === source).map((cell) => cell[share]),
  }));
}

/** Tables of a matrix: a row for whom the examples were made on, a column for whom they were shown to. */
export function matrixText(
  { name }: Pick<Evaluation, 'name'>,
  matrix: TransferMatrix,
  labels: readonly string[],
  paint?: Paint,
): string {
  const { dataset, part, samples, cleanErrors, tables, seed, flags, command } = matrix;
  const head = properties([
    ['evaluation', name],
    ['dataset', `${dataset}, part ${part}, ${count(samples)} samples`],
    ['seed', String(seed)],
  ]);
  const columns = labels.map((title) => ({ title, align: 'right' as const }));
  const clean = table(
    [{ title: 'MISCLASSIFIED WITHOUT ATTACK' }, ...columns],
    [['of all samples', ...cleanErrors.map(proportion)]],
    paint,
  );
  const bodies = tables.flatMap((one) =>
    (['common', 'own'] as const).map((share) => {
      const title = `${attackName(one)} ${decimal(one.epsilon)}`;
      const rows = rowsOf(one, share, labels).map(({ label, shares }) => [label, ...shares.map(proportion)]);
      return `misclassified, ${shareWords(share, matrix)}\n${table([{ title: title.toUpperCase() }, ...columns], rows, paint)}`;
    }),
  );
  const tail = properties([
    ['masking', 'not assessed'],
    ['intervals', '95 % intervals cover sampling, not the weakness of an attack'],
    ...flags.map((flag): [string, string] => ['note', flag]),
    ['again', command],
  ]);
  return [head, clean, ...bodies, tail].join('\n');
}

/** `models/` and 12 digits of each, for those who have no more than the matrix. */
export function shortLabels({ models }: TransferMatrix): string[] {
  return models.map(shortName);
}
