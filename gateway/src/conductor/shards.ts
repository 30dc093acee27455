import { type EvaluateRequest, type EvaluationProgress, type ResumePoint, RobustnessReport } from '@jsigr/proto';
import { Condition, unavailable, unlessAborted } from '@jsigr/service';
import { deferred } from '../deferred.ts';
import type { RunPart } from '../store/runs.ts';
import { type AcquireOptions, type Worker, type WorkerPool, withWorker } from '../workers/pool.ts';
import { evaluate } from './attacker.ts';
import { overLosses } from './attempts.ts';
import { storedPoint } from './journal.ts';

export interface Shards {
  readonly pool: WorkerPool;
  readonly request: EvaluateRequest;
  readonly count: number;
  /** What shards came to in an earlier attempt: what they found is not looked for again. */
  readonly parts: ReadonlyMap<number, RunPart>;
  readonly wanted: Omit<AcquireOptions, 'shard' | 'signal'>;
  readonly onStarted: (worker: Worker) => Promise<void>;
  /** Of several attackers one was lost at work: its shard has another one, and goes on from its ledger or begins again. The others go on. */
  readonly onLost: (error: unknown, index: number, goesOn: boolean) => Promise<void>;
  /** How often a shard is begun again without having come further. */
  readonly retries: number;
  /** Progress of the whole. */
  readonly onProgress: (progress: EvaluationProgress) => Promise<void>;
  /** What one attacker alone could go on from. */
  readonly onResumePoint: (point: ResumePoint) => Promise<void>;
  /** What a shard has come to. */
  readonly onPart: (index: number, part: RunPart) => Promise<void>;
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
 * Has attackers share the samples. Each leaves a ledger; the first attacker then makes the report from all ledgers, as if it had attacked alone.
 * A shard whose attacker is lost has another one, while the others go on.
 * Where another shard still waits for an attacker some time after the first one is done, that one is given back: there may be fewer GPUs than shards.
 * @throws what went wrong with any of them, after the others were stopped; the signal's reason.
 */
export async function attackInShards(shards: Shards): Promise<RobustnessReport> {
  const { pool, count, parts: earlier, wanted, onStarted, onLost, onProgress, onPart, retries, togetherMs } = shards;
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
  /** Shards that are still to be attacked: only they need an attacker. */
  const open: number[] = [];
  for (const [index, part] of parts.entries()) {
    const report = earlier.get(index)?.report;
    if (report === undefined) open.push(index);
    else part.resolve(RobustnessReport.fromJSON(report));
    fractions[index] = report === undefined ? 0 : 1;
  }
  let waiting = open.length;
  let unfound = open.length;
  const changed = new Condition();
  /** False once a shard has waited for an attacker for a while: whoever is idle may have what it waits for. */
  const allFound = async (): Promise<boolean> => {
    while (unfound > 0) {
      await changed.until(() => unfound === 0 || waiting > 0, { signal });
      if (!(await changed.until(() => waiting === 0, { timeoutMs: togetherMs, signal }))) return false;
    }
    return true;
  };
  /** @returns of the first one the whole report, if its attacker stayed to make it */
  const attack = async (index: number, place: number) => {
    let resume = earlier.get(index)?.resumePoint;
    let found: RobustnessReport | undefined;
    let waits = true;
    const tell = async (progress: EvaluationProgress) => {
      fractions[index] = progress.fraction;
      await onProgress({ ...progress, fraction: fractions.reduce((sum, each) => sum + each, 0) / count });
    };
    const onResumePoint = async (point: ResumePoint) => {
      resume = storedPoint(point);
      await onPart(index, { resumePoint: resume });
    };
    const part = async (worker: Worker) => {
      const mine = { ...request, shard: { index, count }, resume };
      const report = await reportBy(worker, mine, { onProgress: tell, onResumePoint }, signal);
      await onPart(index, { report: RobustnessReport.toJSON(report) });
      parts[index]?.resolve(report);
      unfound--;
      changed.notify();
      return report;
    };
    const shard = { index: place, count: open.length };
    const work = (isAtWork: () => void) =>
      withWorker(pool, 'attacker', { ...wanted, shard, signal }, async (worker) => {
        if (waits) waiting--;
        waits = false;
        changed.notify();
        await onStarted(worker);
        isAtWork();
        if (!found) found = await part(worker);
        return place === 0 && (await allFound()) ? merge(worker) : undefined;
      });
    const onWorkerLost = (error: unknown) => {
      waits = !found;
      if (waits) waiting++;
      changed.notify();
      return onLost(error, index, resume !== undefined);
    };
    return overLosses(work, { retries, progress: () => resume, onLost: onWorkerLost, signal });
  };
  const ended = await Promise.allSettled(
    open.map((index, place) =>
      attack(index, place).catch((error) => {
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
