import { setTimeout as wait } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { JsigrError } from '../errors.ts';
import { AddressGuard, parseEndpoint } from './address.ts';
import { grpcTransport } from './grpc.ts';
import { httpTransport } from './http.ts';
import { type InferRequest, type InferResponse, type ModelMetadata, Passing, wrongAnswer } from './transport.ts';

export interface InferenceOptions {
  readonly url: string;
  /** Requests are sent at most so often; a failure that is tried again counts as one more. */
  readonly requestsPerSecond: number;
  /** Of one request, in milliseconds. */
  readonly timeoutMs: number;
  /** Private networks that may be connected to, in CIDR notation. */
  readonly networks: readonly string[];
  /** Waits before each further attempt, in milliseconds; each is lengthened by up to a half at random. */
  readonly retryMs?: readonly number[];
}

/** A model behind the Open Inference Protocol, version 2. Answers are checked; what fails in passing is tried again. */
export interface InferenceClient {
  readonly metadata: (signal?: AbortSignal) => Promise<ModelMetadata>;
  /** @throws JsigrError ENDPOINT_UNAVAILABLE, ENDPOINT_WRONG_ANSWER, ENDPOINT_NOT_ALLOWED; the signal's reason */
  readonly infer: (
    request: InferRequest,
    signal?: AbortSignal,
  ) => Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly close: () => void;
}

const RETRY_MS: readonly number[] = [250, 500, 1000, 2000];
/** The longest wait that a server may ask for. */
const LONGEST_WAIT_MS = 30_000;

/** @throws JsigrError INVALID_ARGUMENT for an address that is none; nothing is connected to yet */
export function openInference({
  url,
  requestsPerSecond,
  timeoutMs,
  networks,
  retryMs = RETRY_MS,
}: InferenceOptions): InferenceClient {
  const address = parseEndpoint(url);
  const guard = new AddressGuard(networks);
  const transport = address.protocol === 'http' ? httpTransport(address, guard) : grpcTransport(address, guard);
  const pace = paceOf(requestsPerSecond);

  const patiently = async <T>(attempt: (signal: AbortSignal) => Promise<T>, outer?: AbortSignal): Promise<T> => {
    for (let failures = 0; ; failures++) {
      await pace(outer);
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        return await attempt(outer ? AbortSignal.any([timeout, outer]) : timeout);
      } catch (error) {
        outer?.throwIfAborted();
        const late = timeout.aborted ? new Passing(`it did not answer within ${timeoutMs / 1000} s`) : undefined;
        const passing = late ?? (error instanceof Passing ? error : undefined);
        if (!passing) throw inWords(url, error);
        const delay = retryMs[failures];
        if (delay === undefined) throw gaveUp(url, passing.message, failures + 1);
        const longest = Math.max(delay * (1 + Math.random() / 2), Math.min(passing.afterMs, LONGEST_WAIT_MS));
        await wait(longest, undefined, outer ? { signal: outer } : {});
      }
    }
  };
  return {
    metadata: (signal) => patiently((both) => transport.metadata(both), signal),
    infer: async (request, signal) => {
      const answer = await patiently((both) => transport.infer(request, both), signal);
      return checked(url, request, answer);
    },
    close: transport.close,
  };
}

/** Resolves when the next request may be sent. */
function paceOf(requestsPerSecond: number): (signal?: AbortSignal) => Promise<void> {
  const gap = 1000 / requestsPerSecond;
  let next = 0;
  return async (signal) => {
    const now = performance.now();
    const at = Math.max(now, next);
    next = at + gap;
    if (at > now) await wait(at - now, undefined, signal ? { signal } : {});
  };
}

/** The answer's numbers, if they are as many as its shape says. */
function checked(url: string, { output }: InferRequest, { datatype, shape, data }: InferResponse) {
  const size = shape.reduce((product, extent) => product * extent, 1);
  if (datatype !== 'FP32' && datatype !== 'FP64')
    throw inWords(url, wrongAnswer(`its '${output}' is ${datatype}; FP32 and FP64 are read`));
  if (shape.some((extent) => extent < 0) || data.length !== size)
    throw inWords(url, wrongAnswer(`its '${output}' says to have the shape [${shape}] and has ${data.length} numbers`));
  return { shape, data: Float32Array.from(data) };
}

function inWords(url: string, error: unknown): JsigrError {
  const { code, reason, message, hint, violations } = JsigrError.from(error);
  return new JsigrError({
    code,
    reason,
    message: `the endpoint ${url}: ${message}`,
    violations,
    ...(hint && { hint }),
    cause: error,
  });
}

function gaveUp(url: string, why: string, attempts: number): JsigrError {
  return new JsigrError({
    // Not UNAVAILABLE: it is no worker that was lost, and was asked again already.
    code: status.FAILED_PRECONDITION,
    reason: 'ENDPOINT_UNAVAILABLE',
    message: `the endpoint ${url} failed ${attempts} times in a row; at last: ${why}`,
    hint: 'is it running, and can the gateway’s machine reach it?',
  });
}
