import { setTimeout } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { StreamCheckpointsRequest, type TrainerServiceClient } from '@jsigr/proto';
import { type Files, JsigrError, serverStream } from '@jsigr/service';
import { Assembly } from './assembly.ts';
import { retryDelay } from './backoff.ts';

export interface PulledCheckpoint {
  readonly sequence: number;
  readonly step: number;
  /** Digest of the checkpoint in the artefact store. */
  readonly digest: string;
  readonly files: Files;
}

export interface PullOptions {
  readonly run: string;
  readonly signal: AbortSignal;
  readonly wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/**
 * The checkpoints of a run as its trainer sends them, verified. A broken connection is made again, several times, and goes on at the byte where it broke.
 * While the consumer is busy with one nothing more is asked for; it must report before the trainer sends the next.
 */
export async function* pullCheckpoints(
  trainer: TrainerServiceClient,
  { run, signal, wait = waitFor }: PullOptions,
): AsyncGenerator<PulledCheckpoint> {
  let done = 0;
  let assembly: Assembly | undefined;
  let failures = 0;
  let progressed = false;
  for (;;) {
    try {
      const cursor = assembly
        ? { afterSequence: assembly.header.sequence - 1, ...assembly.position }
        : { afterSequence: done };
      const request = StreamCheckpointsRequest.fromPartial({ run, awaitReports: true, ...cursor });
      for await (const { part } of serverStream(trainer, 'streamCheckpoints', request, { signal })) {
        if (part?.$case === 'header') {
          if (assembly?.header.model !== part.value.model) assembly = new Assembly(part.value);
        } else if (part?.$case === 'chunk') {
          assembly?.add(part.value);
          progressed = true;
        }
        if (part?.$case === 'endOfCheckpoint' && assembly) {
          const { sequence, step, model } = assembly.header;
          const files = assembly.finish();
          done = sequence;
          assembly = undefined;
          failures = 0;
          yield { sequence, step, digest: model.replace(/^models\//, ''), files };
        }
      }
      return;
    } catch (error) {
      const ours = JsigrError.from(error);
      // A line that breaks again and again still gets there if it brings something each time; damage brings nothing.
      failures = progressed && ours.code === status.UNAVAILABLE ? 1 : failures + 1;
      progressed = false;
      const delay = retryDelay(failures, ours.code, Math.random());
      if (signal.aborted || delay === undefined) throw ours;
      // What did not add up is fetched again from its start.
      if (ours.reason === 'CHECKPOINT_DAMAGED') assembly = undefined;
      await wait(delay, signal);
    }
  }
}

async function waitFor(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal });
}
