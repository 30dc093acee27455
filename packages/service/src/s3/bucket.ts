import { setTimeout } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Address, S3Settings } from '../artefact-place.ts';
import { allOf } from './in-order.ts';
import { isMissingKey, s3Error, statusOf } from './s3-errors.ts';

/** An object under the store's prefix; its key is without that. */
export interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly time: Date;
}

/** An upload in parts that was begun and not finished. */
export interface OpenUpload {
  readonly key: string;
  readonly id: string;
  readonly begun: Date;
}

const CONNECT_MS = 5000;
/** Without a byte in either direction. */
const SILENCE_MS = 20_000;
/** Of each request, the SDK's own backoff in between. */
const ATTEMPTS = 4;
const AGAIN_MS = 200;
/** S3 takes parts of 5 MiB to 5 GiB, 10,000 of them at most. */
const PART_BYTES = 8 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
const MOST_PARTS = 10_000;
const MOST_SMALL_BYTES = 1024 * 1024;

/** Objects of a bucket under a prefix. Every method throws what `s3Error` makes of it, after a bounded number of attempts. */
// Not `Bucket`: TypeScript 7.0.2 takes the key in `{ Bucket: ... }` for the class of that name, and emits another one.
export class S3Bucket {
  readonly name: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor({ bucket, prefix }: S3Address, { region, endpoint, pathStyle = endpoint !== undefined }: S3Settings) {
    this.name = `s3://${bucket}/${prefix}`.replace(/\/$/, '');
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#client = new S3Client({
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle,
      maxAttempts: ATTEMPTS,
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
      // The signature covers the bytes that are sent, and those that come are compared with their digest: more sums would only keep servers out.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  /** @throws JsigrError STORE_REGION, STORE_CREDENTIALS where the chain of AWS has none. */
  async checkSettings(): Promise<void> {
    await this.#tried(async () => {
      await this.#client.config.region();
      await this.#client.config.credentials();
    });
  }

  /** Writes an object, in parts where it is large: memory beyond the bytes themselves is that of a few requests. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    const target = this.#target(key);
    if (bytes.length <= PART_BYTES) {
      await this.#written(() => this.#client.send(new PutObjectCommand({ ...target, Body: bytes })));
      return;
    }
    const { UploadId } = await this.#written(() => this.#client.send(new CreateMultipartUploadCommand(target)));
    const upload = { ...target, UploadId };
    try {
      const size = Math.max(PART_BYTES, Math.ceil(bytes.length / MOST_PARTS));
      const numbers = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => index + 1);
      const parts = numbers.map((PartNumber) => async () => {
        const Body = bytes.subarray((PartNumber - 1) * size, PartNumber * size);
        const { ETag } = await this.#client.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
        return { PartNumber, ETag };
      });
      const MultipartUpload = { Parts: await allOf(parts, PARTS_AT_ONCE) };
      await this.#written(() => this.#client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload })));
    } catch (error) {
      // What cannot be given up now is found by `sweep`.
      await this.#client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
      throw s3Error(error, this.name);
    }
  }

  /** A small object; undefined when it is not there. */
  async text(key: string): Promise<string | undefined> {
    const bytes = await this.#fetched(key, undefined, ({ ContentLength = 0 }) => ContentLength <= MOST_SMALL_BYTES);
    return bytes === 'other' ? '' : bytes?.toString();
  }

  /**
   * Bytes `start` to `end` (exclusive) of an object that has `size` bytes.
   * @returns undefined when it is not there, 'other' when it has another size
   */
  async range(key: string, start: number, end: number, size: number): Promise<Buffer | 'other' | undefined> {
    // There is no range of nothing.
    if (size === 0) return this.#fetched(key, undefined, ({ ContentLength }) => ContentLength === 0);
    return this.#fetched(
      key,
      `bytes=${start}-${end - 1}`,
      ({ ContentLength, ContentRange }) =>
        ContentLength === end - start && ContentRange?.split('/')[1] === String(size),
    );
  }

  /** All objects whose keys begin so, in the order of their keys. */
  async list(begin: string): Promise<StoredObject[]> {
    return this.#tried(async () => {
      const found: StoredObject[] = [];
      const input = { Bucket: this.#bucket, Prefix: this.#prefix + begin };
      for await (const { Contents = [] } of paginateListObjectsV2({ client: this.#client }, input))
        for (const { Key = '', Size = 0, LastModified = new Date() } of Contents)
          found.push({ key: Key.slice(this.#prefix.length), size: Size, time: LastModified });
      return found;
    });
  }

  async remove(keys: readonly string[]): Promise<void> {
    // One by one: not every server takes them together, and there are few.
    const tasks = keys.map((key) => async () => {
      try {
        await this.#client.send(new DeleteObjectCommand(this.#target(key)));
      } catch (error) {
        // Somebody else was faster, which not every server takes for success.
        if (!isMissingKey(error)) throw error;
      }
    });
    await this.#tried(() => allOf(tasks, PARTS_AT_ONCE));
  }

  async openUploads(): Promise<OpenUpload[]> {
    return this.#tried(async () => {
      const found: OpenUpload[] = [];
      const input = { Bucket: this.#bucket, Prefix: this.#prefix };
      for (let marker = {}; ; ) {
        const answer = await this.#client.send(new ListMultipartUploadsCommand({ ...input, ...marker }));
        for (const { Key = '', UploadId = '', Initiated = new Date() } of answer.Uploads ?? [])
          if (Key.startsWith(this.#prefix))
            found.push({ key: Key.slice(this.#prefix.length), id: UploadId, begun: Initiated });
        if (!answer.IsTruncated || !answer.NextKeyMarker) return found;
        marker = { KeyMarker: answer.NextKeyMarker, UploadIdMarker: answer.NextUploadIdMarker };
      }
    });
  }

  /** How much of it has arrived, and when the last of it did. */
  async arrived({ key, id, begun }: OpenUpload): Promise<{ bytes: number; time: Date }> {
    return this.#tried(async () => {
      let [bytes, time] = [0, begun];
      const input = { ...this.#target(key), UploadId: id };
      for (let marker = {}; ; ) {
        const answer = await this.#client.send(new ListPartsCommand({ ...input, ...marker }));
        for (const { Size = 0, LastModified = begun } of answer.Parts ?? []) {
          bytes += Size;
          if (LastModified > time) time = LastModified;
        }
        if (!answer.IsTruncated) return { bytes, time };
        marker = { PartNumberMarker: answer.NextPartNumberMarker };
      }
    });
  }

  async giveUp({ key, id }: OpenUpload): Promise<void> {
    const command = new AbortMultipartUploadCommand({ ...this.#target(key), UploadId: id });
    await this.#tried(async () => void (await this.#client.send(command)));
  }

  #target(key: string) {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  /** The SDK tries requests again, but not the reading of an answer that is cut off. */
  async #fetched(
    key: string,
    Range: string | undefined,
    isExpected: (answer: GetObjectCommandOutput) => boolean,
  ): Promise<Buffer | 'other' | undefined> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#answer(key, Range);
      if (!answer || answer === 'other') return answer;
      if (!isExpected(answer)) {
        (answer.Body as { destroy?: () => void } | undefined)?.destroy?.();
        return 'other';
      }
      try {
        const { buffer, byteOffset, byteLength } = (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
        // Not a copy.
        const bytes = Buffer.from(buffer, byteOffset, byteLength);
        if (bytes.length === answer.ContentLength) return bytes;
        throw Object.assign(new Error('the answer was cut off'), { code: 'ECONNRESET' });
      } catch (error) {
        if (attempt === ATTEMPTS) throw s3Error(error, this.name);
        await setTimeout(AGAIN_MS * attempt);
      }
    }
  }

  async #answer(key: string, Range: string | undefined): Promise<GetObjectCommandOutput | 'other' | undefined> {
    try {
      return await this.#client.send(new GetObjectCommand({ ...this.#target(key), Range }));
    } catch (error) {
      if (isMissingKey(error)) return undefined;
      // A range beyond the end: the object is shorter than it was.
      if (statusOf(error) === 416) return 'other';
      throw s3Error(error, this.name);
    }
  }

  /** Another operation may be in the way (409), above all a removal nearby on servers that keep objects in folders. */
  async #written<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++)
      try {
        return await work();
      } catch (error) {
        if (statusOf(error) !== 409 || attempt === ATTEMPTS) throw s3Error(error, this.name);
        await setTimeout(AGAIN_MS * attempt);
      }
  }

  async #tried<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw s3Error(error, this.name);
    }
  }
}
