import { glyphs } from '@jsigr/datasets';
import { benchSteps } from './steps.ts';

const sizes = { seed: 1, train: 1024, test: 1 } as const;
const rounds = Number(process.argv[2] ?? 25);
await benchSteps({ architecture: 'lenet', batchSize: 64, dataset: glyphs({ variant: 'gray28', ...sizes }) }, rounds);
await benchSteps({ architecture: 'resnet8', batchSize: 32, dataset: glyphs({ variant: 'color32', ...sizes }) }, rounds);
