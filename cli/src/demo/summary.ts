import type { ReportData } from '../report/data.ts';
import { epsilonOf } from '../report/tables.ts';
import { decimal, maskingName, percent, proportion } from '../terminal/format.ts';
import { type Column, type Paint, table } from '../terminal/table.ts';

/** The table that the demonstration ends with. */
export function summaryText({ models, headline, maskArea, method }: ReportData, paint?: Paint): string {
  const { norm, epsilon } = headline;
  const columns: Column[] = [
    { title: 'MODEL' },
    { title: 'CLEAN', align: 'right' },
    { title: 'WHITE-BOX', align: 'right' },
    { title: 'TRANSFERRED', align: 'right' },
    { title: 'S/EPOCH', align: 'right' },
    { title: 'IN MASK', align: 'right' },
    { title: 'MASKING' },
  ];
  const rows = models.map(({ label, report, secondsPerEpoch, relevance }) => {
    const worst = epsilonOf(report, norm, epsilon);
    return [
      label,
      proportion(report.cleanAccuracy),
      proportion(worst?.whiteBox),
      proportion(worst?.transferred),
      secondsPerEpoch.toFixed(1),
      relevance ? percent(relevance.mean) : '-',
      maskingName(report.masking),
    ];
  });
  const trials = models[0]?.report.cleanAccuracy?.trials ?? 0;
  const notes = [
    `${trials} test samples, ${norm} ${decimal(epsilon)}, worst case over the attacks of each kind, 95 % intervals`,
    ...(maskArea === undefined
      ? []
      : [
          `IN MASK: share of the ${method} map on the pixels that make the class; a map that says nothing has ${percent(maskArea)}`,
        ]),
  ];
  return `${table(columns, rows, paint)}${notes.map((note) => `${note}\n`).join('')}`;
}
