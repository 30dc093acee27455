import type { EvaluateRequest, EvaluationProgress, ResumePoint, RobustnessReport } from '@jsigr/proto';
import { Condition, unavailable, unlessAborted } from '@jsigr/service';
import { deferred } from '../deferred.ts';
import { type AcquireOptions, type Worker, type WorkerPool, withWorker } from '../workers/pool.ts';
import { evaluate } from './attacker.ts';

export interface Shards {
  readonly pool: WorkerPool;
  readonly request: EvaluateRequest;
  readonly count: number;
  /** What shards found in an earlier attempt: they are not attacked again. */
  readonly found: Map<number, RobustnessReport>;
  readonly wanted: Omit<AcquireOptions, 'shard' | 'signal'>;
  readonly onStarted: (worker: Worker) => Promise<void>;
  /** Progress of the whole. */
  readonly onProgress: (progress: EvaluationProgress) => Promise<void>;
  /** What one attacker alone could go on from; shards begin again. */
  readonly onResumePoint: (point: ResumePoint) => Promise<void>;
  /** How long the first attacker stays idle while other shards wait for theirs, in milliseconds. */
  readonly togetherMs: number;
  readonly signal: AbortSignal;
}

/** Has one attacker do it all. @throws what went wrong; the signal's reason. */
async function attackAlone({ pool, request, wanted, onStarted, onProgress, onResumePoint, signal }: Shards) {
  return withWorker(pool, 'attacker', { ...wanted, signal }, async (worker) => {
    await onStarted(worker);
    return reportBy(worker, request, { onProgress, onResumePoint }, signal);
  });
}

/**
 * Has attackers share the samples. Each leaves a ledger; the first shard's attacker then makes the report from all ledgers, as if it had attacked alone.
 * Where another shard still waits for an attacker some time after the first one is done, that one is given back: there may be fewer GPUs than shards.
 * @throws what went wrong with any of them, after the others were stopped; the signal's reason.
 */
export async function attackInShards(shards: Shards): Promise<RobustnessReport> {
  const { pool, count, found, wanted, onStarted, onProgress, togetherMs } = shards;
  if (count === 1) return attackAlone(shards);
  const request = { ...shards.request, resume: undefined };
  const failed = new AbortController();
  const signal = AbortSignal.any([shards.signal, failed.signal]);
  const fractions = Array.from({ length: count }, () => 0);
  const parts = fractions.map(() => deferred<RobustnessReport>());
  const merge = async (worker: Worker) => {
    const all = await unlessAborted(Promise.all(parts.map(({ promise }) => promise)), signal);
    const ledgerDigests = all.map(({ ledger }) => ledger);
    return whole(await reportBy(worker, { ...request, ledgerDigests }, {}, signal), all);
  };
  let waiting = count - found.size;
  const allHaveOne = new Condition();
  /** What one shard found; of the first one the whole report, if its attacker stayed to make it. */
  const attack = async (index: number) => {
    const known = found.get(index);
    if (known) return void parts[index]?.resolve(known);
    const shard = { index, count };
    const tell = async (progress: EvaluationProgress) => {
      fractions[index] = progress.fraction;
      await onProgress({ ...progress, fraction: fractions.reduce((sum, each) => sum + each, 0) / count });
    };
    return withWorker(pool, 'attacker', { ...wanted, shard, signal }, async (worker) => {
      waiting--;
      allHaveOne.notify();
      await onStarted(worker);
      const part = await reportBy(worker, { ...request, shard }, { onProgress: tell }, signal);
      found.set(index, part);
      parts[index]?.resolve(part);
      if (index > 0) return undefined;
      const stays = await allHaveOne.until(() => waiting === 0, { timeoutMs: togetherMs, signal });
      return stays ? merge(worker) : undefined;
    });
  };
  const ended = await Promise.allSettled(
    fractions.map((_, index) =>
      attack(index).catch((error) => {
        failed.abort(error);
        throw error;
      }),
    ),
  );
  shards.signal.throwIfAborted();
  if (failed.signal.aborted) throw failed.signal.reason;
  const [first] = ended;
  if (first?.status === 'fulfilled' && first.value) return first.value;
  return withWorker(pool, 'attacker', { ...wanted, signal }, async (worker) => {
    await onStarted(worker);
    return merge(worker);
  });
}

async function reportBy(
  worker: Worker,
  request: EvaluateRequest,
  { onProgress, onResumePoint }: Partial<Pick<Shards, 'onProgress' | 'onResumePoint'>>,
  signal: AbortSignal,
): Promise<RobustnessReport> {
  let report: RobustnessReport | undefined;
  await evaluate(
    worker,
    request,
    async ({ message }) => {
      if (message?.$case === 'report') report = message.value;
      if (message?.$case === 'progress') await onProgress?.(message.value);
      if (message?.$case === 'resumePoint') await onResumePoint?.(message.value);
    },
    signal,
  );
  if (!report) throw unavailable('NO_REPORT', 'the attacker ended without a report');
  return report;
}

/** What ledgers do not hold: the time that the shards took, and the example images, all of which are among the first 64 samples. */
function whole(merged: RobustnessReport, parts: readonly RobustnessReport[]): RobustnessReport {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    ...merged,
    attacks: merged.attacks.map((attack, i) => ({
      ...attack,
      seconds: sum(parts.map((part) => part.attacks[i]?.seconds ?? 0)),
    })),
    seconds: sum(parts.map(({ seconds }) => seconds)),
    examples: parts[0]?.examples ?? [],
  };
}
