/** Files of an artefact by path, e.g. `weights.safetensors`. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** `states` are what unfinished runs go on from: nobody refers to them once the run came further. */
export type ArtefactKind = 'models' | 'datasets' | 'ledgers' | 'states' | 'examples';
export const artefactKinds: readonly ArtefactKind[] = ['models', 'datasets', 'ledgers', 'states', 'examples'];

export interface ArtefactFileInfo {
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

/** An artefact that a store has, without looking into it. */
export interface ArtefactEntry {
  readonly digest: string;
  /** Of its last put: what is put again is wanted again. */
  readonly createTime: Date;
}

export interface ArtefactInfo extends ArtefactEntry {
  readonly kind: ArtefactKind;
  /** sha256 over the sorted list of (path, sha256), lower-case hexadecimal. */
  readonly digest: string;
  /** Sorted by path. */
  readonly files: readonly ArtefactFileInfo[];
}

export interface Swept {
  readonly count: number;
  readonly bytes: number;
}

/**
 * Where models, datasets, ledgers and adversarial examples lie, named by what they contain: equal files have one name, and nothing ever changes under a name.
 * Everything here throws JsigrError STORE_FULL, STORE_NOT_WRITABLE, STORE_NOT_FOUND, STORE_CREDENTIALS, STORE_UNAVAILABLE or STORE_FAILED where the disk or the
 * server does not do its part; what was there before is there afterwards.
 */
export interface ArtefactStore {
  /** Writes all files or none: nobody sees an artefact before it is whole. Putting the same files again gives the same digest, and heals what was damaged. */
  put(kind: ArtefactKind, files: Files): Promise<ArtefactInfo>;
  /** All files, verified. @throws JsigrError NOT_FOUND; ARTEFACT_CORRUPT naming the file. */
  get(kind: ArtefactKind, digest: string): Promise<Files>;
  info(kind: ArtefactKind, digest: string): Promise<ArtefactInfo>;
  /** Newest first. */
  list(kind: ArtefactKind): Promise<readonly ArtefactEntry[]>;
  /**
   * The bytes of one file from an offset on, in chunks of at most `chunkBytes`; none before it is verified, and never the whole file in memory.
   * @throws JsigrError NOT_FOUND; ARTEFACT_CORRUPT; OUT_OF_RANGE beyond the end.
   */
  read(kind: ArtefactKind, digest: string, path: string, offset?: number, chunkBytes?: number): AsyncIterable<Buffer>;
  has(kind: ArtefactKind, digest: string): Promise<boolean>;
  /**
   * Removing what is not there is fine.
   * @param options.putBefore an artefact that was put, or put again, after it stays: somebody is just going to refer to it
   * @returns false when it stays
   */
  remove(kind: ArtefactKind, digest: string, options?: { readonly putBefore?: Date }): Promise<boolean>;
  /** Removes what broken-off puts left behind and nobody wrote to since, or only says how much that is. */
  sweep(options: { readonly olderThanMs: number; readonly dryRun?: boolean }): Promise<Swept>;
}

/** Chunks that travel well: large enough to be few, small enough that sixteen of them (gRPC's write queue) are little. */
export const CHUNK_BYTES = 256 * 1024;
