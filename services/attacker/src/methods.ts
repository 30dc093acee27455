import type { EvaluationReport, LedgerRow, PlanEntry } from '@jsigr/attacks';
import type { ComputeOptions, Files } from '@jsigr/service/compute';

export type LoadedKind = 'models' | 'datasets';

export interface EvaluateArgument {
  /** Digests of what was loaded before. */
  readonly model: string;
  readonly dataset: string;
  readonly surrogates: readonly string[];
  readonly part: 'test' | 'held-out';
  /** Samples from the start of the part; 0: all. */
  readonly samples: number;
  readonly plan: readonly PlanEntry[];
  readonly cascade: boolean;
  readonly assessMasking: boolean;
  /** For each entry of the plan: keep the images of so many samples. */
  readonly keepExamples: readonly number[];
  readonly seed: number;
}

/** One perturbed image. */
export interface Example {
  readonly row: LedgerRow;
  /** [height, width, channels] */
  readonly image: Float32Array;
}

export interface EvaluateResult {
  readonly report: EvaluationReport;
  /** Of the attacked model. */
  readonly step: number;
  readonly epoch: number;
  readonly input: readonly [number, number, number];
  readonly examples: readonly Example[];
  /** A row for each attempt. */
  readonly ledger: Files;
}

export interface Progress {
  readonly attack: string;
  readonly epsilon: number;
  /** Of the whole plan, in [0,1]. */
  readonly fraction: number;
}

/** What the attacker's thread does. */
export type AttackerMethods = {
  /** Is it loaded still? */
  knows: { argument: { kind: LoadedKind; digest: string }; result: boolean };
  /** Decodes and keeps an artefact; the few that were used last stay. */
  load: { argument: { kind: LoadedKind; digest: string; files: Files }; result: undefined };
  evaluate: { argument: EvaluateArgument; result: EvaluateResult; event: Progress };
};

/** Sets up the thread. */
export type AttackerThreadData = ComputeOptions;
