import type { Files } from '@jsigr/service/compute';

/** What is told of a part of a dataset. */
export interface PartCard {
  readonly name: string;
  readonly count: number;
  readonly classCounts: number[];
  readonly mean: number[];
  readonly standardDeviation: number[];
  readonly hasMasks: boolean;
}

export interface MadeDataset {
  readonly files: Files;
  readonly input: number[];
  readonly classNames: string[];
  readonly parts: PartCard[];
}

/** Methods of the thread that makes and reads datasets: either takes seconds, in which the gateway has other things to do. */
export type DatasetMethods = {
  /** An embedded dataset by name. */
  make: { argument: string; result: MadeDataset };
  /** A folder in a known format, under a new id. */
  read: { argument: { id: string; format: string; directory: string }; result: MadeDataset };
};
