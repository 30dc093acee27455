import type { Proportion, RobustnessReport } from '@jsigr/proto';
import type { Picture } from './pictures.ts';

/** A mean with its 95 % interval. */
export interface Mean {
  readonly mean: number;
  readonly lower: number;
  readonly upper: number;
  readonly count: number;
}

/** What the loop's attacker found at one checkpoint. */
export interface CheckpointFigures {
  readonly epoch: number;
  readonly clean?: Proportion;
  readonly whiteBox?: Proportion;
  readonly transferred?: Proportion;
}

export interface ReportedModel {
  /** What the report calls it, e.g. `J-SIGR`. */
  readonly label: string;
  /** What the label means, in a few words. */
  readonly meaning: string;
  /** trainingRuns/{id}, models/{digest} */
  readonly run: string;
  readonly model: string;
  readonly architecture: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly epochs: number;
  readonly secondsPerEpoch: number;
  readonly curve: readonly CheckpointFigures[];
  /** On the test part. */
  readonly report: RobustnessReport;
  /** Share of the absolute attribution that lies inside the ground-truth mask; absent where there are no masks. */
  readonly relevance?: Mean;
}

/** One picture of a grid. */
export interface Tile {
  readonly picture: Picture;
  /** What can be seen, for those who do not see it. */
  readonly alt: string;
  readonly caption: string;
  /** Is the prediction in the caption right? Absent where it is not a prediction. */
  readonly correct?: boolean;
  /** Path in units of pixels, drawn over the picture. */
  readonly outline?: string;
}

export interface TileGrid {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly label: string; readonly tiles: readonly Tile[] }[];
}

export interface ReportData {
  readonly createTime: Date;
  /** Command that makes it again. */
  readonly command: string;
  readonly dataset: string;
  readonly seed: number;
  /** Norm and radius that the curves of the loop were measured at. */
  readonly loop: { readonly norm: string; readonly epsilon: number; readonly samples: number };
  /** Radius of the summary table: one of the evaluations' radii. */
  readonly headline: { readonly norm: string; readonly epsilon: number };
  readonly models: readonly ReportedModel[];
  /** Share of the pixels that the masks cover: the relevance inside the mask of a map that says nothing. */
  readonly maskArea?: number;
  /** Saliency method of the relevance figures and of the samples' grids. */
  readonly method: string;
  readonly samples: readonly TileGrid[];
  readonly methods: readonly TileGrid[];
  /** How it was made, beyond the above: versions, sizes, machine. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}
