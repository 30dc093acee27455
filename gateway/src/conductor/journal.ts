import {
  RobustnessReport as Report,
  type ResumePoint as ResumePointMessage,
  type RobustnessReport,
  type RunEvent,
  RunState,
  TrainingProgress,
} from '@jsigr/proto';
import { type ArtefactStore, JsigrError, type Logger, type WorkerKindName } from '@jsigr/service';
import type { Models } from '../application/models.ts';
import type {
  ChangeOptions,
  EventPayload,
  JsonObject,
  ResumePoint,
  RunPart,
  RunStore,
  StoredRun,
} from '../store/runs.ts';
import { tokenDigest, type Worker } from '../workers/pool.ts';
import type { History } from './history.ts';
import type { Means } from './means.ts';

/** Writes down what happens to one run; after `claim` in the name of one worker. */
export class Journal {
  readonly id: string;
  readonly logger: Logger;
  readonly #runs: RunStore;
  readonly #artefacts: ArtefactStore;
  #fence: { readonly fencingToken: number } | Record<string, never> = {};
  /** What the run, or each of its parts, can go on from, where that is no result as well. */
  readonly #states = new Map<number | 'run', string | undefined>();
  #isRunning: boolean;
  /** Of a wait, which nobody waits for to be written: what follows is written after it. */
  #told: Promise<void> = Promise.resolve();

  constructor({ runs, artefacts, logger }: Pick<Means, 'runs' | 'artefacts' | 'logger'>, run: StoredRun) {
    this.id = run.id;
    this.logger = logger;
    this.#runs = runs;
    this.#artefacts = artefacts;
    // One whose trainer outlived the gateway before.
    this.#isRunning = run.state === RunState.RUN_STATE_RUNNING;
    this.#states.set('run', stateOf(run.resumePoint));
  }

  /** From now on the run is this worker's: whatever is still said by others, or in the name of an earlier one, is refused. @param token a new one */
  async claim(worker: Worker, token: number): Promise<void> {
    this.#fence = { fencingToken: token };
    const { id, address, fencingToken, token: shown = '' } = worker;
    await this.#runs.claim(this.id, { id, address, fencingToken, tokenDigest: tokenDigest(shown) }, token);
  }

  /** The run stays its worker's, and another gateway, if it should still be there, says nothing more about it. */
  async takeOver(token: number): Promise<void> {
    this.#fence = { fencingToken: await this.#runs.takeOver(this.id, token) };
  }

  async starting(reason: string): Promise<void> {
    this.#isRunning = false;
    await this.#become(RunState.RUN_STATE_STARTING, reason);
  }

  /** The run waits for its turn again. */
  async handBack(reason: string): Promise<void> {
    this.#isRunning = false;
    await this.#become(RunState.RUN_STATE_QUEUED, reason, this.#fence);
  }

  /** @param counts against what may be tried */
  async again(reason: string, counts: boolean): Promise<StoredRun> {
    this.logger.warn({ run: this.id }, reason);
    this.#isRunning = false;
    return this.#become(RunState.RUN_STATE_STARTING, reason, { retry: counts });
  }

  /** What is done before a worker can do its part: the run's state, or an event of a run that others are at already. */
  preparing(kind: WorkerKindName, reason: string): Promise<void> {
    return this.#isRunning ? this.worker(kind, '', reason) : this.starting(reason);
  }

  /** For `onWaiting`: what a worker waits for is the run's state, or an event of a run that others are at already. */
  waiting(kind: WorkerKindName): (why: string) => void {
    return (why) => {
      const told = this.#isRunning
        ? this.worker(kind, '', `waits: ${why}`)
        : this.starting(`waiting for ${kind === 'attacker' ? 'an' : 'a'} ${kind}: ${why}`);
      this.#told = told.catch((error) => {
        // The run has ended meanwhile.
        if (!['ILLEGAL_TRANSITION', 'RUN_FINISHED', 'FENCED'].includes(JsigrError.from(error).reason))
          this.logger.error(error, 'the wait could not be told');
      });
    };
  }

  async running(reason = ''): Promise<void> {
    this.#isRunning = true;
    await this.#become(RunState.RUN_STATE_RUNNING, reason, this.#fence);
  }

  /** One of several workers is lost, and another one takes its place; the others go on, and so does the run. */
  async replaced(reason: string): Promise<void> {
    this.logger.warn({ run: this.id }, reason);
    await this.#become(RunState.RUN_STATE_RUNNING, reason, this.#fence);
  }

  async ended(state: RunState, reason: string): Promise<void> {
    this.logger.info({ run: this.id, state }, reason);
    await this.#become(state, reason, this.#fence);
    for (const part of this.#states.keys()) await this.#replaceState(part, undefined);
  }

  async #become(state: RunState, reason: string, options: ChangeOptions = {}): Promise<StoredRun> {
    await this.#told;
    return this.#runs.transition(this.id, state, reason, options);
  }

  /** @param workerSequence the worker's own number of the event */
  async add(payload: EventPayload, summary: JsonObject = {}, workerSequence?: number): Promise<void> {
    const origin = workerSequence === undefined ? {} : { workerSequence };
    await this.#runs.append(this.id, payload, { ...this.#fence, ...origin, summary });
  }

  async keep({ kind, digest, step }: ResumePointMessage): Promise<void> {
    const point = storedPoint({ kind, digest, step });
    await this.#runs.keepResumePoint(this.id, point, this.#fence);
    await this.#replaceState('run', stateOf(point));
  }

  /** What the attackers that share the run had come to, by their index. */
  async parts(): Promise<Map<number, RunPart>> {
    const parts = await this.#runs.parts(this.id);
    for (const [index, { resumePoint }] of parts) this.#states.set(index, stateOf(resumePoint));
    return parts;
  }

  async keepPart(index: number, part: RunPart): Promise<void> {
    await this.#runs.keepPart(this.id, index, part, this.#fence);
    await this.#replaceState(index, stateOf(part.resumePoint));
  }

  async worker(kind: WorkerKindName, address: string, change: string): Promise<void> {
    await this.add({ $case: 'workerChanged', value: { kind, address, change } });
  }

  /** A state that nothing goes on from any more is removed; one that is left behind by a crash is found by `jsigr gc`. */
  async #replaceState(part: number | 'run', next: string | undefined): Promise<void> {
    const old = this.#states.get(part);
    this.#states.set(part, next);
    if (old && old !== next)
      await this.#artefacts.remove('states', old).catch((error) => this.logger.warn(error, 'a state was not removed'));
  }
}

/** As it is stored: `kind` is text in the contract. */
export function storedPoint({ kind, digest, step }: ResumePointMessage): ResumePoint {
  return { kind: kind === 'states' ? 'states' : 'models', digest, step };
}

function stateOf(point: ResumePoint | undefined): string | undefined {
  return point?.kind === 'states' ? point.digest : undefined;
}

/**
 * Takes over the events of a training run: from them follow the run's models, progress and latest report. A trainer that goes on where another
 * one stopped makes some steps again: what was said of them is not said twice.
 */
export class TrainingJournal {
  readonly #journal: Journal;
  readonly #models: Models;
  readonly #saved: Set<string>;
  /** Checkpoints that were neither attacked nor said to be skipped. */
  readonly #open: Set<string>;
  #selected: boolean;
  #epoch: number;
  #step: number;

  constructor(journal: Journal, models: Models, { checkpoints, selected, epoch, step }: History) {
    this.#journal = journal;
    this.#models = models;
    const names = (some: typeof checkpoints) => new Set(some.map(({ saved }) => saved?.model ?? ''));
    this.#saved = names(checkpoints);
    this.#open = names(checkpoints.filter(({ settled }) => !settled));
    this.#selected = selected !== undefined;
    this.#epoch = epoch;
    this.#step = step;
  }

  async record({ payload, sequence }: RunEvent): Promise<void> {
    if (!payload) return;
    const add = (summary: JsonObject = {}) => this.#journal.add(payload, summary, sequence);
    switch (payload.$case) {
      case 'trainingProgress':
        if (payload.value.step <= this.#step) return undefined;
        this.#step = payload.value.step;
        return add({ progress: TrainingProgress.toJSON(payload.value) });
      case 'epochCompleted':
        if (payload.value.epoch <= this.#epoch) return undefined;
        this.#epoch = payload.value.epoch;
        return add();
      case 'checkpointSaved': {
        const { model } = payload.value;
        if (this.#saved.has(model)) return undefined;
        this.#saved.add(model);
        // Before the event: whoever hears of the checkpoint may ask for it.
        await this.#models.record(model.replace('models/', ''));
        this.#open.add(model);
        return add({ latestModel: model, ...(this.#selected ? {} : { bestModel: model }) });
      }
      case 'checkpointSelected':
        this.#selected = true;
        return add({ bestModel: payload.value.model });
      case 'robustnessReported':
        // Told again by a trainer that did not hear that it was written.
        if (!this.#open.delete(payload.value.model)) return undefined;
        return add({ latestReport: reportJson(payload.value) });
      case 'checkpointsSkipped':
        for (const model of payload.value.models) this.#open.delete(model);
        return add();
      case 'stateChanged':
        // The state of a run is the gateway's to say.
        return undefined;
      default:
        return add();
    }
  }

  /** Says of the checkpoints that nobody attacked why. */
  async skipRest(reason: string): Promise<void> {
    const models = [...this.#open];
    this.#open.clear();
    if (models.length > 0) await this.#journal.add({ $case: 'checkpointsSkipped', value: { models, reason } });
  }
}

/** Without example images: the summary goes with every run of a list, they stay in the event. */
function reportJson(report: RobustnessReport): unknown {
  return Report.toJSON({ ...report, examples: [] });
}
