import type { Budget, Certification, EvaluationReport, LedgerRow, PlanEntry, TransferMatrix } from '@jsigr/attacks';
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
  /** Keep so many adversarial images with the ledger, for each norm. */
  readonly keepAdversarial: number;
  /** Images that a target that can only be asked is asked about at most; 0: no limit. */
  readonly maxQueries: number;
  /** Limits of what the attacks spend together; one that is absent is none. */
  readonly budget: Budget;
  /** Look for the smallest radii on so many correctly classified samples; 0: not at all. */
  readonly smallestEpsilons: number;
  readonly certification?: Certification;
  readonly seed: number;
  /** What an interrupted evaluation of the same found out. */
  readonly resume?: Files;
  /** Attack this part of the samples only. */
  readonly shard?: { readonly index: number; readonly count: number };
  /** What the shards of the same evaluation found out. */
  readonly ledgers?: readonly Files[];
  /** How often what was found out is told, in milliseconds; 0: after every unit of work. Absent: never. */
  readonly stateMs?: number;
}

export interface CraftArgument {
  /** Digests of what was loaded before: the checkpoint that is being trained, its dataset, the surrogates. */
  readonly model: string;
  readonly dataset: string;
  readonly surrogates: readonly string[];
  /** A transfer attack, at its largest radius. */
  readonly attack: PlanEntry;
  readonly seed: number;
  /** Which turn it is, from 0: each takes the next so many training images. */
  readonly turn: number;
  readonly count: number;
}

/** One perturbed image. */
export interface Example {
  readonly row: LedgerRow;
  /** What tells its attack from the same one set otherwise. */
  readonly settings: Readonly<Record<string, string>>;
  /** [height, width, channels] */
  readonly image: Float32Array;
}

export interface EvaluateResult {
  readonly report: EvaluationReport;
  /** Of the attacked model. */
  readonly step: number;
  readonly epoch: number;
  readonly input: readonly [number, number, number];
  /** What is to be known of it. */
  readonly remarks: readonly string[];
  readonly examples: readonly Example[];
  /** A row for each attempt; adversarial images, where they were asked for. */
  readonly ledger: Files;
}

export interface MatrixArgument {
  /** Digests of what was loaded before. */
  readonly models: readonly string[];
  readonly dataset: string;
  readonly plan: readonly PlanEntry[];
  /** Samples from the start of the test part; 0: all. */
  readonly samples: number;
  readonly seed: number;
}

export interface MatrixResult {
  readonly matrix: TransferMatrix;
  /** What every model says of every example. */
  readonly ledger: Files;
}

export interface Progress {
  readonly type: 'progress';
  readonly attack: string;
  readonly epsilon: number;
  /** Of the whole plan, in [0,1]. */
  readonly fraction: number;
}

/** What was found out so far: ledger and kept examples. */
export interface PartialLedger {
  readonly type: 'partial';
  /** Units of work that are done. */
  readonly units: number;
  readonly files: Files;
}

/** The ledger of an evaluation that failed, as it was until then. */
export interface FailedLedger {
  readonly type: 'failed';
  readonly attempts: number;
  readonly files: Files;
}

/** What the attacker's thread does. */
export type AttackerMethods = {
  /** Is it loaded still? */
  knows: { argument: { kind: LoadedKind; digest: string }; result: boolean };
  /** Decodes and keeps an artefact; the few that were used last stay. */
  load: { argument: { kind: LoadedKind; digest: string; files: Files }; result: undefined };
  /** Adversarial examples of training images, as the files of an artefact. */
  craft: { argument: CraftArgument; result: { readonly files: Files } };
  evaluate: { argument: EvaluateArgument; result: EvaluateResult; event: Progress | PartialLedger | FailedLedger };
  transferMatrix: { argument: MatrixArgument; result: MatrixResult; event: Progress };
};

/** Sets up the thread. */
export interface AttackerThreadData extends ComputeOptions {
  /** Private networks in which endpoints may be asked. */
  readonly endpointNetworks: readonly string[];
}
