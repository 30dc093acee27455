import { createHash } from 'node:crypto';
import { type Dataset, RunState, TrainingSpec } from '@jsigr/proto';
import { failedPrecondition } from '@jsigr/service';
import { completeSpec } from '../application/training-spec.ts';
import type { StoredRun } from '../store/runs.ts';
import { SHARED_TENANT } from '../store/schema.ts';
import { stateName } from '../store/state-machine.ts';
import type { Means } from './means.ts';

/** In the order of preference; of these the two that the target is not. */
const ARCHITECTURES = ['smallcnn', 'lenet', 'mlp'];
const COUNT = 2;
/** Always the same, so that all runs on a dataset share their surrogates. */
const SEED = 0;
/** Training images, seen again and again, after which a plain model is a fair source of transferred examples; colour takes more. */
const IMAGES_PER_CHANNEL = 40_000;
const EPOCHS = { least: 2, most: 8 } as const;

export interface SurrogateRequest {
  readonly dataset: Dataset;
  /** Architecture that the examples are to be transferred to. */
  readonly target: string;
  readonly signal: AbortSignal;
  /** Called before a surrogate is trained (or waited for), with its run's name. */
  readonly onTraining: (architecture: string, run: string) => Promise<void>;
}

/** A surrogate that is being trained, for as many as wait for it. */
interface Training {
  readonly run: StoredRun;
  readonly done: Promise<string>;
  readonly controller: AbortController;
  waiting: number;
}

/** Trains a run to its final state; never rejects. */
export type Train = (run: StoredRun, controller: AbortController) => Promise<void>;

/** Standard models of other architectures: trained once for each dataset, as ordinary runs, and found again by their labels. */
export class Surrogates {
  readonly #means: Means;
  readonly #train: Train;
  readonly #training = new Map<string, Training>();
  /** One after the other: two requests must not begin to train the same one. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(means: Means, train: Train) {
    this.#means = means;
    this.#train = train;
  }

  /** Digests of the surrogates. @throws JsigrError SURROGATE_FAILED; the signal's reason. */
  async ensure({ dataset, target, signal, onTraining }: SurrogateRequest): Promise<string[]> {
    const digests: string[] = [];
    for (const architecture of ARCHITECTURES.filter((name) => name !== target).slice(0, COUNT)) {
      signal.throwIfAborted();
      const found = this.#turn.then(() => this.#findOrTrain(dataset, architecture));
      this.#turn = found.catch(() => undefined);
      const surrogate = await found;
      if (typeof surrogate === 'string') digests.push(surrogate);
      else {
        const told = onTraining(architecture, `trainingRuns/${surrogate.run.id}`);
        digests.push(await this.#wait(surrogate, told, signal));
      }
    }
    return digests;
  }

  async #findOrTrain(dataset: Dataset, architecture: string): Promise<string | Training> {
    const spec = surrogateSpec(dataset, architecture);
    const recipe = recipeOf(dataset, spec);
    const current = this.#training.get(recipe);
    if (current) return claimed(current);
    const labels = { role: 'surrogate', recipe };
    for (const run of await this.#means.runs.labelled('training', labels)) {
      const digest = await this.#resultOf(run);
      if (digest) return digest;
    }
    const run = await this.#means.runs.create({
      tenant: SHARED_TENANT,
      kind: 'training',
      spec: TrainingSpec.toJSON(spec),
      displayName: `surrogate: ${architecture} on ${dataset.name.replace('datasets/', '')}`,
      labels,
    });
    const controller = new AbortController();
    const forget = () => {
      if (this.#training.get(recipe)?.run === run) this.#training.delete(recipe);
    };
    // One that is given up, or cancelled, takes a while to end: whoever comes meanwhile has another one trained.
    controller.signal.addEventListener('abort', forget, { once: true });
    const done = this.#train(run, controller)
      .then(() => this.#demandResult(run.id))
      .finally(forget);
    done.catch(() => undefined);
    const training = { run, done, controller, waiting: 0 };
    this.#training.set(recipe, training);
    return claimed(training);
  }

  /** Waits for it; when nobody waits any more, its training is given up. */
  async #wait(training: Training, told: Promise<void>, signal: AbortSignal): Promise<string> {
    let abort = () => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
    aborted.catch(() => undefined);
    try {
      await told;
      return await Promise.race([training.done, aborted]);
    } finally {
      signal.removeEventListener('abort', abort);
      training.waiting--;
      if (training.waiting === 0) training.controller.abort(signal.reason);
    }
  }

  async #resultOf({ state, summary }: StoredRun): Promise<string | undefined> {
    const digest = String(summary.bestModel ?? '').replace('models/', '');
    if (state !== RunState.RUN_STATE_SUCCEEDED || !digest) return undefined;
    return (await this.#means.artefacts.has('models', digest)) ? digest : undefined;
  }

  async #demandResult(id: string): Promise<string> {
    const run = await this.#means.runs.get('training', id);
    const digest = await this.#resultOf(run);
    if (digest) return digest;
    throw failedPrecondition(
      'SURROGATE_FAILED',
      `the surrogate trainingRuns/${id} is ${stateName(run.state)}${run.reason ? `: ${run.reason}` : ''}`,
    );
  }
}

/** Counted at once: before its waiting begins, the end of somebody else's must not give the training up. */
function claimed(training: Training): Training {
  training.waiting++;
  return training;
}

function surrogateSpec(dataset: Dataset, architecture: string): TrainingSpec {
  const { name, input, parts } = dataset;
  const images = IMAGES_PER_CHANNEL * (input[2] ?? 1);
  const count = parts.find((part) => part.name === 'train')?.count ?? images;
  const epochs = Math.min(Math.max(Math.round(images / count), EPOCHS.least), EPOCHS.most);
  const spec = {
    dataset: name,
    architecture,
    objective: 'standard',
    epochs,
    seed: SEED,
    checkpointEveryEpochs: epochs,
  };
  return completeSpec(TrainingSpec.fromPartial(spec), dataset);
}

/** What makes two surrogates the same: the images, and how it is trained. */
function recipeOf({ digest }: Dataset, spec: TrainingSpec): string {
  const text = JSON.stringify([digest, TrainingSpec.toJSON(spec)]);
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
