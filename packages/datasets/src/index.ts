export type { Dataset, Files, Split } from './dataset.ts';
