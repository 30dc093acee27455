import type { CertifiedAccuracy, RobustnessReport } from '@jsigr/proto';
import { accessName, attackName, count, decimal, proportion, quantile } from '../terminal/format.ts';
import { html, type Markup } from './html.ts';
import { lineChart } from './line-chart.ts';
import { htmlTable } from './tables.ts';

/** How far the nearest adversarial images lie; nothing where nobody looked. */
export function smallestSection({ smallestEpsilons }: RobustnessReport): Markup | false {
  if (smallestEpsilons.length === 0) return false;
  const rows = smallestEpsilons.map((one) => [
    attackName(one),
    accessName(one.access),
    decimal(one.largestEpsilon),
    below(proportion(one.turned)),
    ...one.quantiles.map((each) => below(quantile(each, one.largestEpsilon))),
  ]);
  const titles = ['Attack', 'Access', 'Searched up to', 'Turned', '25 %', 'Median', '75 %'];
  return html`<section><h2>How little it takes</h2>
<p>The smallest radius at which each attack turns an image that the model has right, found by halving. An example proves each: the distance to the boundary is that or less.</p>
${htmlTable('A quarter, half and three quarters of the images are turned within so much; 95 % intervals cover the choice of images', titles, rows)}
</section>`;
}

/** A figure with its interval on a line of its own: seven columns are to fit beside each other. */
function below(figure: string): Markup {
  const [value = '', interval] = figure.split(/ (?=\[)/);
  return html`${value}${interval !== undefined && html`<small>${interval}</small>`}`;
}

/** What randomised smoothing certifies; nothing where it was not asked for. */
export function certifiedSection({ certifiedAccuracy }: RobustnessReport): Markup | false {
  return certifiedAccuracy !== undefined && sectionOf(certifiedAccuracy);
}

function sectionOf({ sigma, draws, alpha, samples, abstained, shares }: CertifiedAccuracy): Markup {
  const points = shares.flatMap(({ radius, accuracy }) =>
    accuracy ? [{ x: radius, y: accuracy.value, lower: accuracy.lower, upper: accuracy.upper }] : [],
  );
  const rows = shares.map(({ radius, accuracy }) => [decimal(radius), proportion(accuracy)]);
  return html`<section><h2>What is certain</h2>
<p>Of the model that answers with the likeliest class under Gaussian noise of ${decimal(sigma)} (randomised smoothing), not of the model itself: the share of ${count(samples)} images that get the right class, whatever is added up to a length of so much in l2. It gave no answer for ${count(abstained)}. ${count(draws)} noisy copies of each image; a certificate is wrong with probability ${decimal(alpha)} at most.</p>
<div class="pair"><figure class="card"><h3>certified, l2</h3>${lineChart({ title: 'Certified accuracy over radius, l2', xLabel: 'radius', series: [{ name: 'certified', slot: 2, points }] })}</figure></div>
${htmlTable('95 % intervals cover the choice of images', ['Radius', 'Certified accuracy'], rows)}
</section>`;
}
