import { type Dataset, RobustnessReport, type RunEvent, RunState, TrainingSpec } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { needsSurrogates } from '../application/evaluation-plan.ts';
import { digestOf } from '../application/models.ts';
import { idOf } from '../application/names.ts';
import type { StoredRun } from '../store/runs.ts';
import { inWords } from '../workers/far-side.ts';
import { type Worker, withWorker } from '../workers/pool.ts';
import { followRun } from './attacker.ts';
import { Journal, TrainingJournal } from './journal.ts';
import type { Means } from './means.ts';
import { reportCommand } from './report-command.ts';
import type { Surrogates } from './surrogates.ts';
import { TrainerCalls } from './trainer.ts';

/** How long the attacker may take to end its call after the trainer has its last report, in milliseconds. */
const LAST_CALL_MS = 5000;

/** A training run and what its conductor needs at hand. */
interface Conducted {
  readonly name: string;
  readonly spec: TrainingSpec;
  readonly dataset: Dataset;
  readonly journal: Journal;
  readonly means: Means;
  readonly signal: AbortSignal;
}

/**
 * Conducts a training run from QUEUED to its final state.
 *
 *     surrogates (if the loop transfers examples and names none) -> trainer, attacker -> training || attacks -> outcome
 *
 * Whatever goes wrong with surrogates or attacker becomes an event: the training goes on without it.
 * @throws what went wrong with the training, for the caller to end the run with; the signal's reason.
 */
export async function conductTraining(
  run: StoredRun,
  means: Means,
  surrogates: Surrogates,
  signal: AbortSignal,
): Promise<void> {
  const journal = new Journal(means.runs, run.id, means.logger);
  const spec = TrainingSpec.fromJSON(run.spec);
  await journal.starting('waiting for the dataset');
  const dataset = await means.datasets.byId(idOf('datasets', spec.dataset));
  const conducted = { name: `trainingRuns/${run.id}`, spec, dataset, journal, means, signal };
  const loop = spec.loop && new Loop(conducted, surrogates);
  await loop?.prepare();
  await journal.starting('waiting for a trainer');
  const attacker = loop?.acquire();
  const { trainer: alone, trainerInLoop } = means.threads;
  const threads = loop?.problem === undefined && loop ? trainerInLoop : alone;
  try {
    await withWorker(means.pool, 'trainer', { run: conducted.name, threads, signal }, async (trainer) => {
      await attacker;
      await train(trainer, conducted, loop);
    });
  } finally {
    await attacker;
    await loop?.release();
  }
}

async function train(trainer: Worker, conducted: Conducted, loop: Loop | undefined): Promise<void> {
  const { name, spec, dataset, journal, means, signal } = conducted;
  const calls = new TrainerCalls(trainer);
  const record = new TrainingJournal(journal, means.models);
  try {
    await journal.worker('trainer', trainer.address, 'started');
    // A trainer that expects an attacker waits for it at the end.
    const request = loop?.ready ? spec : { ...spec, loop: undefined };
    await calls.start({ run: name, spec: request, datasetDigest: dataset.digest }, signal);
    await journal.running();
    loop?.follow(trainer.address);
    const take = (event: RunEvent) => record.record(loop ? loop.withCommand(event) : event);
    const { state, reason } = await calls.follow(name, take, signal);
    await loop?.finish(state === RunState.RUN_STATE_SUCCEEDED);
    if (loop?.problem !== undefined) await record.skipRest(loop.problem);
    const asked = state === RunState.RUN_STATE_CANCELLED ? RunState.RUN_STATE_FAILED : state;
    await journal.ended(asked, reason);
  } catch (error) {
    if (signal.aborted) await calls.stop(name);
    throw error;
  } finally {
    calls.close();
  }
}

/** The attacker that follows a run. None of its troubles leaves this class but as an event. */
class Loop {
  /** Why checkpoints are not attacked (any more). */
  problem: string | undefined;
  readonly #conducted: Conducted;
  readonly #surrogates: Surrogates;
  /** Ends the attacker's call with the run. */
  readonly #ending = new AbortController();
  #digests: readonly string[] = [];
  #worker: Worker | undefined;
  #following: Promise<void> | undefined;
  #discard = true;

  constructor(conducted: Conducted, surrogates: Surrogates) {
    this.#conducted = conducted;
    this.#surrogates = surrogates;
  }

  get ready(): boolean {
    return this.#worker !== undefined;
  }

  /** Finds or trains the surrogates. */
  async prepare(): Promise<void> {
    await this.#guarded('the surrogates', async () => {
      this.#digests = await this.#surrogateDigests();
    });
  }

  /** Never rejects. */
  async acquire(): Promise<void> {
    if (this.problem !== undefined) return;
    const { name, means, journal, signal } = this.#conducted;
    await this.#guarded('the attacker', async () => {
      const threads = means.threads.attackerInLoop;
      this.#worker = await means.pool.acquire('attacker', { run: name, threads, signal });
      await journal.worker('attacker', this.#worker.address, 'started');
    }).catch(() => undefined);
  }

  follow(trainerAddress: string): void {
    const worker = this.#worker;
    if (!worker) return;
    const { name, spec, dataset, signal } = this.#conducted;
    const request = {
      run: name,
      trainerAddress,
      datasetDigest: dataset.digest,
      surrogateDigests: [...this.#digests],
      plan: spec.loop?.plan,
      dataset: dataset.name,
    };
    this.#following = this.#guarded('the attacker', async () => {
      await followRun(worker, request, AbortSignal.any([signal, this.#ending.signal]));
      this.#discard = false;
    }).catch(() => undefined);
  }

  /** After training: waits until the attacker has ended too, but not for ever. @param normally false: it is not waited for. */
  async finish(normally: boolean): Promise<void> {
    const timer = setTimeout(() => this.#ending.abort(), normally ? LAST_CALL_MS : 0);
    await this.#following;
    clearTimeout(timer);
  }

  async release(): Promise<void> {
    this.#ending.abort();
    await this.#following;
    if (this.#worker) await this.#conducted.means.pool.release(this.#worker, { discard: this.#discard });
  }

  /** A report with the command that makes it again. */
  withCommand(event: RunEvent): RunEvent {
    const { payload } = event;
    const plan = this.#conducted.spec.loop?.plan;
    if (payload?.$case !== 'robustnessReported' || !plan) return event;
    const { model, surrogates } = payload.value;
    const command = reportCommand({ model, dataset: this.#conducted.dataset.name, plan, surrogates });
    return { ...event, payload: { ...payload, value: RobustnessReport.fromPartial({ ...payload.value, command }) } };
  }

  async #surrogateDigests(): Promise<string[]> {
    const { spec, dataset, means, journal, signal } = this.#conducted;
    const plan = spec.loop?.plan;
    if (!plan || !needsSurrogates(plan)) return [];
    if (plan.surrogates.length > 0)
      return Promise.all(plan.surrogates.map(async (name) => digestOf(await means.models.byName(name))));
    return this.#surrogates.ensure({
      dataset,
      target: spec.architecture,
      signal,
      onTraining: (architecture, run) =>
        journal.starting(`training the surrogate ${architecture} (${run}), once for this dataset`),
    });
  }

  /** @throws nothing but the run's own abortion. */
  async #guarded(what: string, work: () => Promise<void>): Promise<void> {
    const { journal, signal } = this.#conducted;
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      if (this.#ending.signal.aborted) return;
      this.problem = `${what}: ${inWords(error)}`;
      const change = `${this.problem}; the training goes on, checkpoints are not attacked`;
      await journal.worker('attacker', this.#worker?.address ?? '', change).catch((reason) => {
        if (JsigrError.from(reason).reason !== 'RUN_FINISHED') throw reason;
      });
    }
  }
}
