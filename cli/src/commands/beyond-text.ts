import type { RobustnessReport } from '@jsigr/proto';
import { accessName, attackName, count, decimal, proportion, quantile } from '../terminal/format.ts';
import { type Column, type Paint, table } from '../terminal/table.ts';

const right = (title: string): Column => ({ title, align: 'right' });

/** Smallest radii of each attack, and what smoothing certifies; a table for each that was asked for. Pure. */
export function beyondText({ smallestEpsilons, certifiedAccuracy }: RobustnessReport, paint?: Paint): string[] {
  const smallest = table(
    [
      { title: 'SMALLEST EPSILON' },
      { title: 'ACCESS' },
      right('TURNED'),
      right('WITHIN'),
      ...['25 %', 'MEDIAN', '75 %'].map(right),
    ],
    smallestEpsilons.map((one) => [
      attackName(one),
      accessName(one.access),
      proportion(one.turned),
      decimal(one.largestEpsilon),
      ...one.quantiles.map((each) => quantile(each, one.largestEpsilon)),
    ]),
    paint,
  );
  return [
    ...(smallestEpsilons.length > 0 ? [smallest] : []),
    ...(certifiedAccuracy ? [certifiedText(certifiedAccuracy, paint)] : []),
  ];
}

function certifiedText(
  { sigma, draws, alpha, samples, abstained, shares }: NonNullable<RobustnessReport['certifiedAccuracy']>,
  paint?: Paint,
): string {
  const certified = table(
    [{ title: 'CERTIFIED, L2 RADIUS' }, right('ACCURACY')],
    shares.map(({ radius, accuracy }) => [decimal(radius), proportion(accuracy)]),
    paint,
  );
  return `${certified}of the model smoothed with noise of ${decimal(sigma)}: ${count(samples)} samples, ${count(abstained)} without an answer, ${count(draws)} draws each; a certificate is wrong with probability ${decimal(alpha)} at most\n`;
}
