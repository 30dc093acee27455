/** One part of a dataset, as it lies in memory and (in safetensors) on disk. */
export interface Split {
  readonly count: number;
  /** `[count, height, width, channels]`, 0..255. */
  readonly images: Uint8Array;
  /** `[count]`, 0..classes-1. */
  readonly labels: Uint8Array;
  /** `[count, height, width]`, 1 where a pixel belongs to what makes the class, else 0; only where the truth is known. */
  readonly masks?: Uint8Array;
}

export interface Dataset {
  /** Name given at import, e.g. `mnist`. */
  readonly name: string;
  /** [height, width, channels]. */
  readonly input: readonly [number, number, number];
  /** Names of the classes, in the order of the labels. */
  readonly classes: readonly string[];
  readonly train: Split;
  readonly test: Split;
}

/** The files of an artefact (a dataset, a checkpoint), by file name; an artefact store names them by digest. */
export type Files = Readonly<Record<string, Uint8Array>>;
