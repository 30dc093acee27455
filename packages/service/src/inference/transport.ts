import { status } from '@grpc/grpc-js';
import { JsigrError } from '../errors.ts';

/** A tensor in the protocol's words. */
export interface TensorMetadata {
  readonly name: string;
  /** FP32, INT64, ... */
  readonly datatype: string;
  /** -1: any. */
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

export interface InferRequest {
  readonly input: string;
  readonly output: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Numbers with the shape that the server gave them, which nobody has checked. */
export interface InferResponse {
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** One way to speak the protocol, without patience: every failure is an error. */
export interface Transport {
  readonly metadata: (signal: AbortSignal) => Promise<ModelMetadata>;
  readonly infer: (request: InferRequest, signal: AbortSignal) => Promise<InferResponse>;
  readonly close: () => void;
}

/** A failure that may be over in a moment. */
export class Passing extends Error {
  /** When to try again at the earliest, in milliseconds; the server said so. */
  readonly afterMs: number;

  constructor(message: string, afterMs = 0) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** What the server said, short and in one line, for messages: it may be anything. */
export function clipped(text: string, most = 200): string {
  return text
    .slice(0, 2 * most)
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, most)
    .toWellFormed();
}

/** An answer that makes no sense, or a refusal. @param message may repeat what the server said */
export function wrongAnswer(message: string): JsigrError {
  return new JsigrError({
    code: status.FAILED_PRECONDITION,
    reason: 'ENDPOINT_WRONG_ANSWER',
    message: clipped(message, 400),
  });
}
