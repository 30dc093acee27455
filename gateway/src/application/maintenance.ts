import type { CollectGarbageRequest, CollectGarbageResponse, Garbage } from '@jsigr/proto';
import type { ArtefactKind, ArtefactStore } from '@jsigr/service';
import type { Audit } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { RetentionStore } from '../store/retention.ts';
import { Violations } from './violations.ts';

const HOUR_MS = 3600_000;
const MIN_AGE_MS = HOUR_MS;
/** A century: what a database's dates can be reckoned back by. */
const MOST_SECONDS = 100 * 365 * 24 * 3600;
const KEEP_PROGRESS_MS = 30 * 24 * HOUR_MS;
/** Models are what a gateway is for: they are listed, and stay. */
const COLLECTED = ['states', 'ledgers', 'examples', 'datasets'] as const;

type Duration = CollectGarbageRequest['minAge'];

export class Maintenance {
  readonly #store: RetentionStore;
  readonly #artefacts: ArtefactStore;
  readonly #audit: Audit;
  readonly #now: () => Date;

  constructor(store: RetentionStore, artefacts: ArtefactStore, audit: Audit, now: () => Date = () => new Date()) {
    this.#store = store;
    this.#artefacts = artefacts;
    this.#audit = audit;
    this.#now = now;
  }

  /** @throws JsigrError INVALID_ARGUMENT for a negative duration */
  async collect(request: CollectGarbageRequest, caller: Caller): Promise<CollectGarbageResponse> {
    const { dryRun, minAge, keepProgress } = request;
    const violations = new Violations();
    const minAgeMs = milliseconds(minAge, MIN_AGE_MS, 'minAge', violations);
    const keepProgressMs = milliseconds(keepProgress, KEEP_PROGRESS_MS, 'keepProgress', violations);
    violations.throwIfAny();
    const now = this.#now();
    if (!dryRun) this.#audit.record(caller, 'jsigr.v1.MaintenanceService/CollectGarbage', 'artefacts');
    const garbage: Garbage[] = [];
    for (const kind of COLLECTED) garbage.push(await this.#collect(kind, now.getTime() - minAgeMs, dryRun));
    const uploads = await this.#artefacts.sweep({ olderThanMs: minAgeMs, dryRun });
    const thinBefore = new Date(now.getTime() - keepProgressMs);
    garbage.push(
      { kind: 'uploads', ...uploads },
      { kind: 'progress-events', count: await this.#store.thinProgress(thinBefore, dryRun), bytes: 0 },
    );
    return { garbage };
  }

  async #collect(kind: (typeof COLLECTED)[number], before: number, dryRun: boolean): Promise<Garbage> {
    // Listed first: what is put, and referred to, afterwards is not looked at.
    const listed = await this.#artefacts.list(kind);
    const referenced = await this.#store.referenced(kind);
    const unneeded = listed.filter(
      ({ digest, createTime }) => createTime.getTime() <= before && !referenced.has(digest),
    );
    let [count, bytes] = [0, 0];
    for (const { digest } of unneeded) {
      const size = await this.#size(kind, digest);
      // Somebody may have put it again meanwhile, and be about to refer to it.
      if (!dryRun && !(await this.#artefacts.remove(kind, digest, { putBefore: new Date(before) }))) continue;
      count++;
      bytes += size;
    }
    return { kind, count, bytes };
  }

  /** In bytes; 0 where that cannot be said any more. */
  async #size(kind: ArtefactKind, digest: string): Promise<number> {
    const { files } = await this.#artefacts.info(kind, digest).catch(() => ({ files: [] }));
    return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }
}

function milliseconds(duration: Duration, otherwise: number, field: string, violations: Violations): number {
  if (!duration) return otherwise;
  const value = duration.seconds * 1000 + duration.nanos / 1e6;
  const allowed = `0 to ${MOST_SECONDS} seconds`;
  violations.number(field, value / 1000, allowed, (seconds) => seconds >= 0 && seconds <= MOST_SECONDS);
  return value;
}
