import { status } from '@grpc/grpc-js';
import type { CheckpointChunk, CheckpointHeader } from '@jsigr/proto';
import { artefactDigest, type Files, JsigrError, sha256 } from '@jsigr/service';

/** Files of a checkpoint may have so many bytes together; what a trainer announces beyond is refused. */
const MAX_BYTES = 1024 ** 3;

/** A checkpoint on its way: its chunks in order, and where to go on when the connection breaks. */
export class Assembly {
  readonly header: CheckpointHeader;
  readonly #files = new Map<string, Buffer>();
  #path: string;
  #filled = 0;

  /** @throws JsigrError RESOURCE_EXHAUSTED for an announced size over 1 GiB. */
  constructor(header: CheckpointHeader) {
    this.header = header;
    const total = header.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (total > MAX_BYTES)
      throw new JsigrError({
        code: status.RESOURCE_EXHAUSTED,
        reason: 'CHECKPOINT_TOO_LARGE',
        message: `${header.model} has ${total} bytes; at most ${MAX_BYTES} are taken`,
      });
    for (const { path, sizeBytes } of header.files) this.#files.set(path, Buffer.alloc(sizeBytes));
    this.#path = header.files[0]?.path ?? '';
  }

  /** Where the next byte belongs. */
  get position(): { readonly path: string; readonly readOffset: number } {
    return { path: this.#path, readOffset: this.#filled };
  }

  /** @throws JsigrError DATA_LOSS for a chunk that does not follow the one before. */
  add({ path, offset, data }: CheckpointChunk): void {
    if (path !== this.#path) this.#nextFile(path);
    const file = this.#files.get(path);
    if (!file || offset !== this.#filled || offset + data.length > file.length)
      throw damaged(`${path}: bytes ${offset} to ${offset + data.length} came, byte ${this.#filled} was next`);
    file.set(data, offset);
    this.#filled += data.length;
  }

  /** The files, verified. @throws JsigrError DATA_LOSS */
  finish(): Files {
    for (const { path, sha256: expected } of this.header.files)
      if (sha256(this.#files.get(path) ?? Buffer.alloc(0)) !== expected)
        throw damaged(`${path} of ${this.header.model} is not what its digest says`);
    if (`models/${artefactDigest(this.header.files)}` !== this.header.model)
      throw damaged(`the files are not those of ${this.header.model}`);
    return Object.fromEntries(this.#files);
  }

  #nextFile(path: string): void {
    if (this.#filled !== (this.#files.get(this.#path)?.length ?? 0))
      throw damaged(`${this.#path} ended after ${this.#filled} bytes`);
    this.#path = path;
    this.#filled = 0;
  }
}

function damaged(message: string): JsigrError {
  return new JsigrError({ code: status.DATA_LOSS, reason: 'CHECKPOINT_DAMAGED', message });
}
