/** The trainer's compute thread. */
import { attackNamed, attacks } from '@jsigr/attacks';
import { decodeDataset } from '@jsigr/datasets';
import { type FixedNetwork, planTraining, type TrainingEvent, train } from '@jsigr/defenses';
import { createAnnouncedEngine, type Engine } from '@jsigr/engine';
import { decodeCheckpoint, encodeCheckpoint } from '@jsigr/models';
import { type ComputeContext, movable, serveCompute } from '@jsigr/service/compute';
import type { NetworkFiles, TrainArgument, TrainEvent, TrainerMethods } from './methods.ts';
import { ProgressMeter } from './progress.ts';

let stopping = false;
/** One for the life of the thread: a second run of the same shapes need not be compiled again. */
let engine: Promise<Engine> | undefined;

serveCompute<TrainerMethods>({
  async check({ config, selectingAttacks }) {
    planTraining(config);
    if (selectingAttacks) checkSelection(selectingAttacks);
  },
  async stop() {
    stopping = true;
  },
  async train({ run, config, datasetDigest, dataset, networks, compute }: TrainArgument, context) {
    stopping = false;
    engine ??= createAnnouncedEngine(compute);
    const { initial, teacher, surrogates } = networks;
    const options = {
      run,
      datasetDigest,
      signal: context.signal,
      shouldStop: () => stopping,
      ...(initial ? { initial: fixedNetwork(initial) } : {}),
      ...(teacher ? { teacher: fixedNetwork(teacher) } : {}),
      surrogates: surrogates.map(fixedNetwork),
    };
    const tell = teller(context);
    for await (const event of train(await engine, config, decodeDataset(dataset), options)) {
      tell(event);
      if (event.type === 'finished') return { reason: event.reason, step: event.step };
    }
    throw new Error('training ended without its last event');
  },
});

function fixedNetwork({ name, files }: NetworkFiles): FixedNetwork {
  const { model, parameters } = decodeCheckpoint(files);
  return { id: name, model, parameters };
}

/** A model is selected by transferred examples: some attack must make them. */
function checkSelection(names: readonly string[]): void {
  const field = 'loop.plan.attacks';
  if (names.some((name, i) => attackNamed(name, `${field}[${i}].attack`).access === 'transfer')) return;
  const known = Object.values(attacks)
    .filter(({ access }) => access === 'transfer')
    .map(({ name }) => name);
  const message = `feedback select goes by transferred examples: the plan needs one of ${known.join(', ')}`;
  throw Object.assign(new Error(message), { reason: 'INVALID_PLAN', field });
}

/** Events of training as events of the thread: steps are gathered, checkpoints encoded and moved. */
function teller({ emit }: ComputeContext<TrainEvent>): (event: TrainingEvent) => void {
  const meter = new ProgressMeter();
  const tellProgress = (progress: TrainEvent | undefined) => progress && emit(progress);
  return (event) => {
    const now = performance.now();
    if (event.type === 'step') tellProgress(meter.add(event, now));
    else tellProgress(meter.flush(now));
    if (event.type === 'epoch') {
      const { epoch, trainLoss, trainTerms, trainAccuracy, heldOutAccuracy, probe, seconds, maskSeconds } = event;
      emit({
        type: 'epoch',
        epoch,
        metrics: {
          loss: trainLoss,
          ...trainTerms,
          train_accuracy: trainAccuracy,
          ...(heldOutAccuracy === undefined ? {} : { held_out_accuracy: heldOutAccuracy }),
          ...probe,
          mask_seconds: maskSeconds,
        },
        seconds,
      });
    }
    if (event.type === 'checkpoint') {
      const { checkpoint } = event;
      const { files, buffers } = movable(encodeCheckpoint(checkpoint));
      const { step, epoch, metrics } = checkpoint;
      emit({ type: 'checkpoint', step, epoch, heldOutAccuracy: metrics.heldOutAccuracy ?? 0, files }, buffers);
    }
  };
}
