import type { ComputeOptions, Files } from '@jsigr/service/compute';

/** Requests at a time, each of which may be for another model. */
export const CAPACITY = 16;

/** What a request must know of a model. */
export interface ModelCard {
  /** [height, width, channels] */
  readonly input: readonly [number, number, number];
  readonly classes: number;
}

export interface ExplainArgument {
  /** Digest of a model that was loaded before. */
  readonly model: string;
  /** The model's input, values in [0,1]. */
  readonly image: Float32Array;
  readonly method: string;
  readonly settings: Readonly<Record<string, boolean | number | string>>;
  /** Class to explain; absent: the predicted one. */
  readonly target?: number;
  readonly output: 'logit' | 'probability' | 'loss';
  readonly seed: number;
  /** Factor of the overlay; absent: none is drawn. */
  readonly overlayScale?: number;
}

export interface ExplainResult {
  readonly predicted: number;
  readonly target: number;
  readonly probabilities: readonly number[];
  /** [height, width] */
  readonly attribution: Float32Array;
  /** A PNG. */
  readonly overlay?: Uint8Array;
  readonly checks: Readonly<Record<string, number>>;
  /** What the thread took for the batch that this request was in. */
  readonly milliseconds: number;
}

/** What the explainer's thread does. */
export type ExplainerMethods = {
  /** Absent when the model is not (or no longer) loaded. */
  describe: { argument: string; result: ModelCard | undefined };
  load: { argument: { digest: string; files: Files }; result: ModelCard };
  explain: { argument: ExplainArgument; result: ExplainResult };
};

/** Sets up the thread. */
export type ExplainerThreadData = ComputeOptions;
