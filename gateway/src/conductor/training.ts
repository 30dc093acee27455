import { type Dataset, RunState, TrainingSpec } from '@jsigr/proto';
import { unavailable } from '@jsigr/service';
import { idOf } from '../application/names.ts';
import { runName, type StoredRun } from '../store/run-rows.ts';
import { usingWorker, type Worker, withWorker } from '../workers/pool.ts';
import { withRetries } from './attempts.ts';
import { type History, readHistory } from './history.ts';
import { type Journal, TrainingJournal } from './journal.ts';
import { Loop } from './loop.ts';
import type { Means } from './means.ts';
import type { Surrogates } from './surrogates.ts';
import { TrainerCalls } from './trainer.ts';

/** Of checkpoints whose attacker was lost, and not back before the training's end was told. */
const NO_REPORT = 'no attacker had reported on it when the training ended';

/** A training run and what its conductor needs at hand. */
export interface Conducted {
  readonly name: string;
  readonly labels: StoredRun['labels'];
  readonly spec: TrainingSpec;
  readonly dataset: Dataset;
  readonly journal: Journal;
  readonly means: Means;
  readonly signal: AbortSignal;
}

/**
 * Conducts a training run from QUEUED to its final state, over as many trainers as it takes.
 *
 *     surrogates (if the loop transfers examples and names none) -> trainer, attacker -> training || attacks -> outcome
 *
 * Whatever goes wrong with surrogates or attacker becomes an event: the training goes on without it.
 * @param adopted a trainer that is at work on it already, since before the gateway was started
 * @throws what went wrong with the training, for the caller to end the run with; the signal's reason.
 */
export async function conductTraining(
  run: StoredRun,
  journal: Journal,
  means: Means,
  surrogates: Surrogates,
  signal: AbortSignal,
  adopted?: Worker,
): Promise<void> {
  const spec = TrainingSpec.fromJSON(run.spec);
  let atWork = adopted;
  await withRetries(run, journal, means, signal, async (current) => {
    if (!atWork) await journal.starting('waiting for the dataset');
    const dataset = await means.datasets.byId(idOf('datasets', spec.dataset));
    const trainer = atWork;
    atWork = undefined;
    const conducted = { name: runName(run), labels: run.labels, spec, dataset, journal, means, signal };
    return trainer ? goOn(trainer, current, conducted, surrogates) : attempt(current, conducted, surrogates);
  });
}

/** With a trainer that is at work already; an attacker follows it anew. */
async function goOn(trainer: Worker, run: StoredRun, conducted: Conducted, surrogates: Surrogates): Promise<void> {
  const loop = conducted.spec.loop && new Loop(conducted, surrogates);
  try {
    await usingWorker(conducted.means.pool, trainer, async () => {
      await loop?.prepare();
      await loop?.acquire();
      await train(trainer, run, conducted, loop, true);
    });
  } finally {
    await loop?.release();
  }
}

async function attempt(run: StoredRun, conducted: Conducted, surrogates: Surrogates): Promise<void> {
  const { name, spec, journal, means, signal } = conducted;
  const loop = spec.loop && new Loop(conducted, surrogates);
  await loop?.prepare();
  await journal.starting('waiting for a trainer');
  const { trainer: alone, trainerInLoop } = means.threads;
  const threads = loop?.problem === undefined && loop ? trainerInLoop : alone;
  try {
    const acquiring = {
      run: name,
      labels: run.labels,
      threads,
      onWaiting: journal.waiting('trainer'),
      signal: AbortSignal.any([signal, means.closing]),
    };
    await withWorker(means.pool, 'trainer', acquiring, async (trainer) => {
      // Not before: an attacker that has the only GPU would keep it from the trainer for ever.
      await loop?.acquire();
      await train(trainer, run, conducted, loop);
    });
  } finally {
    await loop?.release();
  }
}

/** @param adopted the trainer is at work on the run already */
async function train(
  trainer: Worker,
  run: StoredRun,
  conducted: Conducted,
  loop: Loop | undefined,
  adopted = false,
): Promise<void> {
  const { name, journal, means, signal } = conducted;
  const calls = new TrainerCalls(trainer, adopted ? run.workerSequence : 0);
  const leaving = new AbortController();
  const onClosing = () => {
    if (means.leaves()) leaving.abort(means.closing.reason);
    else void calls.handBack(name);
  };
  try {
    const history = await readHistory(means.runs, run.id);
    const record = new TrainingJournal(journal, means.models, history);
    if (adopted) await takeUp(trainer, conducted);
    else await begin(trainer, calls, run, history, conducted, loop);
    loop?.follow(trainer, calls);
    means.closing.addEventListener('abort', onClosing, { once: true });
    if (means.closing.aborted) onClosing();
    const { state, reason, retryable } = await calls.follow(
      name,
      {
        event: (event) => record.record(loop ? loop.withCommand(event) : event),
        resumePoint: (point) => journal.keep(point),
      },
      AbortSignal.any([signal, leaving.signal]),
    );
    await loop?.finish(state === RunState.RUN_STATE_SUCCEEDED);
    if (state === RunState.RUN_STATE_QUEUED) throw unavailable('RUN_HANDED_BACK', `the trainer: ${reason}`);
    if (retryable) throw unavailable('TRAINING_INTERRUPTED', `the trainer: ${reason}`);
    if (loop) await record.skipRest(loop.problem ?? NO_REPORT);
    const asked = state === RunState.RUN_STATE_CANCELLED ? RunState.RUN_STATE_FAILED : state;
    await journal.ended(asked, reason);
  } catch (error) {
    if (signal.aborted) await calls.stop(name);
    throw error;
  } finally {
    means.closing.removeEventListener('abort', onClosing);
    calls.close();
  }
}

async function takeUp(trainer: Worker, { journal, means }: Conducted): Promise<void> {
  await journal.takeOver(await means.nextToken());
  await journal.worker('trainer', trainer.address, 'found again by the gateway, which was started anew');
}

/** Gives the run to the trainer, with what the earlier ones left. */
async function begin(
  trainer: Worker,
  calls: TrainerCalls,
  run: StoredRun,
  { checkpoints, selected, reportsSince, penaltyFactor, bestClean }: History,
  { name, spec, dataset, journal, means, signal }: Conducted,
  loop: Loop | undefined,
): Promise<void> {
  await journal.claim(trainer, await means.nextToken());
  await journal.worker('trainer', trainer.address, 'started');
  const request = {
    run: name,
    // A trainer that expects an attacker waits for it at the end.
    spec: loop?.isExpected ? spec : { ...spec, loop: undefined },
    datasetDigest: dataset.digest,
    fencingToken: trainer.fencingToken,
    followerToken: loop?.isExpected ? means.credentials.follower(name) : '',
    resume: {
      point: run.resumePoint,
      checkpoints: [...checkpoints],
      selected,
      reportsSince,
      penaltyFactor,
      bestClean,
    },
  };
  await calls.start(request, signal);
  await journal.running(run.resumePoint ? `goes on from step ${run.resumePoint.step}` : '');
}
