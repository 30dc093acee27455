import type { StreamCheckpointsRequest, StreamCheckpointsResponse } from '@jsigr/proto';
import { type ArtefactStore, CHUNK_BYTES, Condition, notFound, outOfRange } from '@jsigr/service';

/** A checkpoint that lies in the store. */
export interface SavedCheckpoint {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly step: number;
  readonly epoch: number;
  /** In the artefact store. */
  readonly digest: string;
}

export interface CheckpointsOptions {
  readonly artefacts: ArtefactStore;
  /** Those that earlier trainers of the run saved; settled: reported on or said to be skipped. */
  readonly earlier?: readonly (Omit<SavedCheckpoint, 'sequence'> & { readonly settled: boolean })[];
  /** Called once for each checkpoint that a reporting follower was too slow for. */
  readonly onSkipped: (checkpoints: readonly SavedCheckpoint[]) => void;
}

/**
 * The checkpoints of a run, and the streams of those who follow it. Nothing is kept in memory but their names: the bytes come from the store, at the
 * follower's pace. Training never waits for a follower; a follower that asks again gets the newest.
 */
export class Checkpoints {
  readonly #all: SavedCheckpoint[] = [];
  readonly #reported = new Set<number>();
  readonly #skipped = new Set<number>();
  readonly #changed = new Condition();
  readonly #options: CheckpointsOptions;
  #complete = false;
  #followers = 0;
  #followed = false;
  #abandoned = false;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    for (const { settled, ...checkpoint } of options.earlier ?? []) {
      const { sequence } = this.add(checkpoint);
      if (settled) this.#reported.add(sequence);
    }
  }

  get latest(): SavedCheckpoint | undefined {
    return this.#all.at(-1);
  }

  find(sequence: number): SavedCheckpoint | undefined {
    return this.#all[sequence - 1];
  }

  add(checkpoint: Omit<SavedCheckpoint, 'sequence'>): SavedCheckpoint {
    const saved = { ...checkpoint, sequence: this.#all.length + 1 };
    this.#all.push(saved);
    this.#changed.notify();
    return saved;
  }

  /** There will be no more. */
  complete(): void {
    this.#complete = true;
    this.#changed.notify();
  }

  /** No follower will come (again). */
  abandon(): void {
    this.#abandoned = true;
    this.#changed.notify();
  }

  /** Was somebody about to report on the last checkpoint? */
  get isOpen(): boolean {
    return this.#followed && !this.#reported.has(this.latest?.sequence ?? 0);
  }

  markReported(sequence: number): void {
    this.#reported.add(sequence);
    this.#changed.notify();
  }

  isReported(sequence: number): boolean {
    return this.#reported.has(sequence);
  }

  /**
   * Waits for the report on the last checkpoint, as long as somebody is there who will make it: a follower that has not come within `attachMs`, or is
   * gone for `graceMs` (time to connect again), is not waited for.
   */
  async lastReport({
    attachMs,
    graceMs,
    signal,
  }: {
    attachMs: number;
    graceMs: number;
    signal: AbortSignal;
  }): Promise<void> {
    const last = this.latest?.sequence ?? 0;
    const done = () => last === 0 || this.#abandoned || this.#reported.has(last);
    if (!(await this.#changed.until(() => done() || this.#followed, { signal, timeoutMs: attachMs }))) return;
    while (!done()) {
      await this.#changed.until(() => done() || this.#followers === 0, { signal });
      const back = await this.#changed.until(() => done() || this.#followers > 0, { signal, timeoutMs: graceMs });
      if (!back) return;
    }
  }

  /** See StreamCheckpoints in trainer.proto. @throws JsigrError OUT_OF_RANGE for a sequence or path that was never sent. */
  async *stream(request: StreamCheckpointsRequest, signal: AbortSignal): AsyncGenerator<StreamCheckpointsResponse> {
    const { afterSequence, path, readOffset, awaitReports } = request;
    let sent = this.#checkCursor(afterSequence);
    // Whoever reports need not see again what is settled already.
    while (awaitReports && this.#reported.has(sent + 1)) sent++;
    let resume = path ? { path, offset: readOffset } : undefined;
    if (awaitReports) {
      this.#followers++;
      this.#followed = true;
      this.#changed.notify();
    }
    try {
      for (;;) {
        await this.#changed.until(() => (this.latest?.sequence ?? 0) > sent || this.#complete, { signal });
        // Within a checkpoint the follower wants the rest of that one; else the newest.
        const next = resume ? this.find(sent + 1) : this.latest;
        if (!next || next.sequence <= sent) return;
        const skipped = this.#all.slice(sent, next.sequence - 1);
        if (awaitReports) this.#tellSkipped(skipped);
        yield* this.#send(next, skipped, resume);
        sent = next.sequence;
        resume = undefined;
        if (awaitReports) await this.#changed.until(() => this.#reported.has(sent), { signal });
      }
    } finally {
      if (awaitReports) {
        this.#followers--;
        this.#changed.notify();
      }
    }
  }

  #checkCursor(afterSequence: number): number {
    if (afterSequence > this.#all.length)
      throw outOfRange('afterSequence', `${afterSequence} given, the run has ${this.#all.length} checkpoints so far`);
    return afterSequence;
  }

  #tellSkipped(skipped: readonly SavedCheckpoint[]): void {
    const news = skipped.filter(({ sequence }) => !this.#skipped.has(sequence) && !this.#reported.has(sequence));
    for (const { sequence } of news) this.#skipped.add(sequence);
    if (news.length > 0) this.#options.onSkipped(news);
  }

  async *#send(
    { sequence, step, epoch, digest }: SavedCheckpoint,
    skipped: readonly SavedCheckpoint[],
    resume: { path: string; offset: number } | undefined,
  ): AsyncGenerator<StreamCheckpointsResponse> {
    const { kind, files: stored } = await this.#options.artefacts.info('models', digest);
    const files = stored.map((file) => ({ ...file }));
    const first = resume ? files.findIndex(({ path }) => path === resume.path) : 0;
    if (first < 0)
      throw notFound('file', `${kind}/${digest}/${resume?.path}`, `it has ${files.map(({ path }) => path).join(', ')}`);
    const header = {
      sequence,
      model: `models/${digest}`,
      step,
      epoch,
      files,
      skipped: skipped.map((each) => each.sequence),
    };
    yield { part: { $case: 'header', value: header } };
    for (const { path } of files.slice(first)) {
      let offset = path === resume?.path ? resume.offset : 0;
      for await (const data of this.#options.artefacts.read(kind, digest, path, offset, CHUNK_BYTES)) {
        yield { part: { $case: 'chunk', value: { path, offset, data } } };
        offset += data.length;
      }
    }
    yield { part: { $case: 'endOfCheckpoint', value: sequence } };
  }
}
