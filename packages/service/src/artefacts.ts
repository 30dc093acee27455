/** Files of an artefact by path, e.g. `weights.safetensors`. */
export type Files = Readonly<Record<string, Uint8Array>>;

export type ArtefactKind = 'models' | 'datasets' | 'ledgers';
export const artefactKinds: readonly ArtefactKind[] = ['models', 'datasets', 'ledgers'];

export interface ArtefactFileInfo {
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

export interface ArtefactInfo {
  readonly kind: ArtefactKind;
  /** sha256 over the sorted list of (path, sha256), lower-case hexadecimal. */
  readonly digest: string;
  /** Sorted by path. */
  readonly files: readonly ArtefactFileInfo[];
  readonly createTime: Date;
}

/** Where models, datasets and ledgers lie, named by what they contain: equal files have one name, and nothing ever changes under a name. */
export interface ArtefactStore {
  /** Writes all files or none. Putting the same files again gives the same digest and writes nothing. */
  put(kind: ArtefactKind, files: Files): Promise<ArtefactInfo>;
  /** All files, verified. @throws JsigrError NOT_FOUND; ARTEFACT_CORRUPT naming the file. */
  get(kind: ArtefactKind, digest: string): Promise<Files>;
  info(kind: ArtefactKind, digest: string): Promise<ArtefactInfo>;
  /** Newest first. */
  list(kind: ArtefactKind): Promise<readonly ArtefactInfo[]>;
  /** The bytes of one verified file from an offset on, in chunks of at most `chunkBytes`. @throws JsigrError OUT_OF_RANGE beyond the end. */
  read(kind: ArtefactKind, digest: string, path: string, offset?: number, chunkBytes?: number): AsyncIterable<Buffer>;
  has(kind: ArtefactKind, digest: string): Promise<boolean>;
  /** Removing what is not there is fine. */
  remove(kind: ArtefactKind, digest: string): Promise<void>;
}

/** Chunks that travel well: large enough to be few, small enough that sixteen of them (gRPC's write queue) are little. */
export const CHUNK_BYTES = 256 * 1024;
