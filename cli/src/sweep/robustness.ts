import type { EpsilonSummary, RobustnessReport } from '@jsigr/proto';
import { decimal } from '../terminal/format.ts';

export type Kind = 'whiteBox' | 'transferred';

/** Where fewest samples stand: among the largest radii of all norms in which such attacks were made. */
export function worstOf(report: RobustnessReport | undefined, kind: Kind): EpsilonSummary | undefined {
  const tried = (report?.epsilons ?? []).filter((each) => each[kind]);
  const largest = tried.filter(
    ({ norm, epsilon }) => !tried.some((other) => other.norm === norm && other.epsilon > epsilon),
  );
  return largest.toSorted((a, b) => (a[kind]?.value ?? 1) - (b[kind]?.value ?? 1))[0];
}

/** Where the figures of a column are from, for its title: ` AT linf 0.2`, or that it differs. */
export function placeText(reports: readonly (RobustnessReport | undefined)[], kind: Kind): string {
  const places = reports.flatMap((report) => {
    const worst = worstOf(report, kind);
    return worst ? [`${worst.norm} ${decimal(worst.epsilon)}`] : [];
  });
  const [place, ...others] = new Set(places);
  if (place === undefined) return '';
  return others.length > 0 ? ' AT ITS WORST' : ` AT ${place}`;
}
