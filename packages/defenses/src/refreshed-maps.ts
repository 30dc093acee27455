import type { Classifier } from '@jsigr/models';
import { SaliencyError } from '@jsigr/saliency';
import { TrainingError } from './errors.ts';
import type { TrainingRun } from './run.ts';
import { refreshIsDue, saliencyOfSplit } from './saliency-cache.ts';
import type { SaliencyMaps } from './saliency-maps.ts';
import { classifierOf, type TrainingState } from './state.ts';

/** The saliency maps of this epoch: new ones where they are due, those of before else, or after an interruption those made again. */
export async function refreshedMaps(
  run: TrainingRun,
  state: TrainingState,
  epoch: number,
  maps: SaliencyMaps | undefined,
): Promise<{ maps: SaliencyMaps | undefined; state: TrainingState }> {
  const { plan, stepsPerEpoch, teacher } = run;
  const wanted = plan.objective.saliency;
  if (!wanted || epoch < wanted.warmupEpochs) return { maps, state };
  const due = refreshIsDue(wanted, epoch) && state.step % stepsPerEpoch === 0;
  if (maps && !due) return { maps, state };
  if (teacher) return { maps: await mapsOf(run, teacher), state };
  const mapped = due ? state.parameters : state.mapped;
  if (!mapped)
    throw new TrainingError(
      'INVALID_SETTING',
      'resume',
      `the checkpoint of step ${state.step} lacks the network that its saliency maps were made with`,
    );
  return { maps: await mapsOf(run, classifierOf(run, { parameters: mapped })), state: { ...state, mapped } };
}

/**
 * Maps of a few images before anything is trained: what a method cannot say of this network (Grad-CAM of one without convolutions) it cannot say later either.
 * @throws TrainingError INVALID_SETTING
 */
export async function tryMaps(run: TrainingRun, state: TrainingState): Promise<void> {
  const { plan, options, teacher, train } = run;
  const { saliency } = plan.objective;
  if (!saliency || options.saliency) return;
  const classifier = teacher ?? classifierOf(run, state);
  await mapsOf(run, classifier, train.subarray(0, TRIED)).catch((error) => {
    if (!(error instanceof SaliencyError)) throw error;
    const field = 'objective.settings.saliencyMethod';
    throw new TrainingError('INVALID_SETTING', field, `${field}: ${saliency.method} given, ${error.message}`, {
      cause: error,
    });
  });
}

const TRIED = 64;

function mapsOf(run: TrainingRun, classifier: Classifier, images = run.train): Promise<SaliencyMaps> {
  const { engine, plan, options, dataset, estimate } = run;
  const { stride = 1, signedThreshold } = plan.objective.saliency ?? {};
  return saliencyOfSplit({ engine, classifier, estimate }, dataset.train, images, {
    stride,
    seed: plan.config.seed,
    signed: signedThreshold !== undefined,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
