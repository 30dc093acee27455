import { cellsOf, mainRadius, type StudyCell } from './cells.ts';
import type { Estimate } from './estimate.ts';
import { intervalPlot } from './plots/intervals.ts';
import { scatterPlot } from './plots/scatter.ts';
import type { Profile } from './profile.ts';
import type { StudyResults } from './study.ts';
import { radiusText } from './text.ts';

export interface StudyPlot {
  /** File name, beside the page. */
  readonly file: string;
  readonly title: string;
  readonly svg: string;
}

/** Of a round number, with all its digits: models may lie within a point of each other. */
const percent = (value: number) => String(Number((100 * value).toPrecision(6)));
const percentAxis = (label: string) => ({ label, scale: 'linear' as const, format: percent });

/** Its verdict, or the lack of one, bids caution; a model that is not made has none. */
const isMarked = ({ runs, masking }: StudyCell) => runs.length > 0 && masking !== 'no sign';

/** The pictures of a study: robustness against accuracy and against cost, and where the relevance lies. */
export function studyPlots(profile: Profile, { runs, maskShare }: StudyResults): StudyPlot[] {
  const cells = cellsOf(profile, runs);
  const radius = mainRadius(profile);
  const at = radiusText(radius);
  const scatter = (
    name: string,
    title: string,
    x: Parameters<typeof scatterPlot>[0]['x'],
    of: (cell: StudyCell) => number | undefined,
  ) => ({
    file: `${profile.name}-${name}.svg`,
    title,
    svg: scatterPlot({
      title,
      x,
      mark: cells.some(isMarked) ? 'ring: signs of masked gradients' : 'no signs of masked gradients',
      y: percentAxis(`accuracy under transferred examples, ${at}, %`),
      points: cells.flatMap((cell) => {
        const [across, robust] = [of(cell), cell.transferred(radius)];
        if (across === undefined || !robust) return [];
        const { mean, low, high } = robust;
        return [
          {
            x: across,
            y: mean,
            low: Math.max(0, low),
            high: Math.min(1, high),
            series: cell.label,
            kind: cell.architecture,
            marked: isMarked(cell),
          },
        ];
      }),
    }),
  });
  return [
    scatter(
      'accuracy',
      `${profile.name}: transferred robustness and clean accuracy`,
      percentAxis('clean accuracy, %'),
      (cell) => cell.clean?.mean,
    ),
    scatter(
      'cost',
      `${profile.name}: transferred robustness and cost`,
      { label: 'seconds an epoch', scale: 'log', format: (value) => String(Number(value.toPrecision(2))) },
      (cell) => cell.secondsPerEpoch?.mean,
    ),
    ...profile.methods.flatMap((method) => relevancePlot(profile, cells, method, maskShare)),
  ];
}

function relevancePlot(
  profile: Profile,
  cells: readonly StudyCell[],
  method: string,
  maskShare: number | undefined,
): StudyPlot[] {
  const rows = cells.flatMap((cell) => {
    const mass: Estimate | undefined = cell.explained(method, 'mass');
    return mass
      ? [{ group: cell.architecture, label: cell.label, mean: mass.mean, low: mass.low, high: mass.high }]
      : [];
  });
  if (rows.length === 0) return [];
  const title = `${profile.name}: relevance mass on what makes the class, ${method}`;
  return [
    {
      file: `${profile.name}-relevance-${method}.svg`,
      title,
      svg: intervalPlot({
        title,
        axis: 'share of the relevance inside the masks, %, with 95 % intervals',
        format: percent,
        rows,
        ...(maskShare === undefined ? {} : { reference: { value: maskShare, label: 'a map that knows nothing' } }),
      }),
    },
  ];
}
