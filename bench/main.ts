// `npm run bench [rounds]`: ratios are taken within one run, interleaved, because machines are noisy.
import { glyphs } from '@jsigr/datasets';
import { benchExplanations } from './explain.ts';
import { benchSteps } from './steps.ts';

const sizes = { seed: 1, train: 1024, test: 1 } as const;
const rounds = Number(process.argv[2] ?? 25);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`rounds: ${process.argv[2]} is not a whole number of at least 1`);
  process.exit(2);
}
await benchSteps({ architecture: 'lenet', batchSize: 64, dataset: glyphs({ variant: 'gray28', ...sizes }) }, rounds);
await benchSteps({ architecture: 'resnet8', batchSize: 32, dataset: glyphs({ variant: 'color32', ...sizes }) }, rounds);
await benchExplanations();
