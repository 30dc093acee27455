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

/** What the server said instead of an answer; short, for messages. */
export function clipped(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 200);
}

/** An answer that makes no sense, or a refusal. */
export function wrongAnswer(message: string): JsigrError {
  return new JsigrError({ code: status.FAILED_PRECONDITION, reason: 'ENDPOINT_WRONG_ANSWER', message });
}
