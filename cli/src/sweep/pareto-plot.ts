import { scatterPlot } from '@jsigr/study/plots';
import { pointOfGroup, robustOf, type SweepGroup } from './groups.ts';
import { front } from './summary.ts';

const percent = (label: string) => ({
  label,
  scale: 'linear' as const,
  format: (value: number) => String(Number((100 * value).toPrecision(3))),
});

/** Clean accuracy, robust accuracy and cost of what a sweep made, as SVG; what nothing else beats in all three has a ring. */
export function paretoPlot(groups: readonly SweepGroup[], title: string): string {
  const best = front(groups.map(pointOfGroup));
  const masking = [...new Set(groups.map((group) => group.masking).filter((verdict) => verdict !== '-'))].join(', ');
  return scatterPlot({
    title,
    x: percent('clean accuracy, %'),
    y: percent(`robust accuracy (the worst of what was tried), %; masking: ${masking}`),
    mark: 'ring: on the Pareto front',
    points: groups.flatMap((group, i) => {
      const robust = robustOf(group);
      if (!group.clean || !robust) return [];
      return [
        {
          x: group.clean.mean,
          y: robust.mean,
          low: Math.max(0, robust.low),
          high: Math.min(1, robust.high),
          series: group.values.join(' ') || 'the run',
          kind: 'a run',
          marked: best[i] ?? false,
          note: group.seconds ? `${group.seconds.mean.toFixed(1)} s` : '',
        },
      ];
    }),
  });
}
