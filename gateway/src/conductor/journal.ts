import {
  RobustnessReport as Report,
  type RobustnessReport,
  type RunEvent,
  RunState,
  TrainingProgress,
} from '@jsigr/proto';
import type { Logger, WorkerKindName } from '@jsigr/service';
import type { Models } from '../application/models.ts';
import type { EventPayload, JsonObject, RunStore } from '../store/runs.ts';

/** Writes down what happens to one run. */
export class Journal {
  readonly id: string;
  readonly logger: Logger;
  readonly #runs: RunStore;

  constructor(runs: RunStore, id: string, logger: Logger) {
    this.id = id;
    this.logger = logger;
    this.#runs = runs;
  }

  async starting(reason: string): Promise<void> {
    await this.#runs.transition(this.id, RunState.RUN_STATE_STARTING, reason);
  }

  async running(reason = ''): Promise<void> {
    await this.#runs.transition(this.id, RunState.RUN_STATE_RUNNING, reason);
  }

  async ended(state: RunState, reason: string): Promise<void> {
    this.logger.info({ run: this.id, state }, reason);
    await this.#runs.transition(this.id, state, reason);
  }

  async add(payload: EventPayload, summary: JsonObject = {}): Promise<void> {
    await this.#runs.append(this.id, payload, summary);
  }

  async worker(kind: WorkerKindName, address: string, change: string): Promise<void> {
    await this.add({ $case: 'workerChanged', value: { kind, address, change } });
  }
}

/** Takes over the events of a training run: from them follow the run's models, progress and latest report. */
export class TrainingJournal {
  readonly #journal: Journal;
  readonly #models: Models;
  /** Checkpoints that were neither attacked nor said to be skipped. */
  readonly #open = new Set<string>();
  #selected = false;

  constructor(journal: Journal, models: Models) {
    this.#journal = journal;
    this.#models = models;
  }

  async record({ payload }: RunEvent): Promise<void> {
    if (!payload) return;
    switch (payload.$case) {
      case 'trainingProgress':
        return this.#journal.add(payload, { progress: TrainingProgress.toJSON(payload.value) });
      case 'checkpointSaved': {
        const { model } = payload.value;
        // Before the event: whoever hears of the checkpoint may ask for it.
        await this.#models.record(model.replace('models/', ''));
        this.#open.add(model);
        return this.#journal.add(payload, { latestModel: model, ...(this.#selected ? {} : { bestModel: model }) });
      }
      case 'checkpointSelected':
        this.#selected = true;
        return this.#journal.add(payload, { bestModel: payload.value.model });
      case 'robustnessReported':
        this.#open.delete(payload.value.model);
        return this.#journal.add(payload, { latestReport: reportJson(payload.value) });
      case 'checkpointsSkipped':
        for (const model of payload.value.models) this.#open.delete(model);
        return this.#journal.add(payload);
      case 'stateChanged':
        // The state of a run is the gateway's to say.
        return undefined;
      default:
        return this.#journal.add(payload);
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
