import { createHash } from 'node:crypto';
import { holdOut } from '@jsigr/datasets';
import { planTraining, type TrainingConfig, TrainingError, train } from '@jsigr/defenses';
import { type Checkpoint, encodeCheckpoint } from '@jsigr/models';
import type { EpochRecord, Kept, RunRecord, RunSpec, TrainingRecord } from './record.ts';
import { keyOf } from './store.ts';
import { checkMaking, classifierOf, type StudyContext, type TrainedModel, withSignal } from './study-context.ts';

/** Part of the training images that no run is trained on. */
export const HELD_OUT = 0.05;

/** How a run of the study is trained. */
export function configOf({ profile }: Pick<StudyContext, 'profile'>, spec: RunSpec): TrainingConfig {
  const { architecture, objective, settings, noise, epochs, steps, seed } = spec;
  return {
    architecture,
    objective: { name: objective, settings: { ...settings } },
    optimizer: { name: 'adam', settings: { learningRate: profile.learningRate } },
    schedule: { name: 'cosine' },
    epochs,
    ...(steps === undefined ? {} : { steps }),
    batchSize: profile.batchSize,
    seed,
    heldOutFraction: HELD_OUT,
    augmentation: { ...profile.augmentation, noise },
  };
}

/** All that the weights of a run depend on, the defaults of its objective included: where those change, what was trained by the old ones is made again. */
export function trainingKey(context: Pick<StudyContext, 'profile' | 'digest'>, spec: RunSpec): string {
  return keyOf(planTraining(configOf(context, spec)).config, context.digest, context.profile.images);
}

/** Optimiser steps of a whole epoch; the same at every seed. */
export function stepsPerEpoch({ profile, dataset }: Pick<StudyContext, 'profile' | 'dataset'>): number {
  return Math.floor(holdOut(dataset.train, HELD_OUT).train.length / profile.batchSize);
}

/** A run that is trained: its record, and its model, which is loaded (or made again) when it is asked for. */
export interface TrainedRun {
  readonly record: RunRecord;
  readonly weights: string;
  readonly model: () => Promise<TrainedModel>;
}

/** A model that had to be trained again is another one than its record says: all that was made with the old weights must be made anew. */
export class WeightsChanged extends Error {
  override readonly name = 'WeightsChanged';
}

/**
 * Trains a run, goes on with it where it was interrupted, or takes it as it is in the store.
 */
export async function trainRun(context: StudyContext, spec: RunSpec): Promise<TrainedRun> {
  const { store } = context;
  const config = configOf(context, spec);
  const key = trainingKey(context, spec);
  const known = await store.read(spec);
  const kept = known.training?.key === key ? known.training.value : undefined;
  const finished = (record: RunRecord, training: TrainingRecord): TrainedRun => ({
    record,
    weights: training.weights,
    model: () => opened(context, spec, { key, value: training }, config),
  });
  if (kept?.ended) return finished(known, kept);
  checkMaking(context, spec.id);
  // A checkpoint of another recipe is worth nothing.
  if (!kept) await store.forget(spec.id);
  const value = await trained(context, spec, config, async (training) =>
    store.write({ spec, training: { key, value: training }, measures: {} }),
  );
  const record = { spec, training: { key, value }, measures: {} };
  await store.write(record);
  return finished(record, value);
}

/**
 * The weights of a finished run: where only its record was kept they are made again, bit for bit on the same engine.
 * @throws WeightsChanged on another one, with the record of the new training in place of the old and its measures
 */
async function opened(
  context: StudyContext,
  spec: RunSpec,
  { key, value: { weights } }: Kept<TrainingRecord>,
  config: TrainingConfig,
): Promise<TrainedModel> {
  const { store, log } = context;
  let checkpoint = await store.checkpoint(spec.id, log);
  if (!checkpoint || digestOf(checkpoint) !== weights) {
    log(`${spec.id}: its weights are not here, they are trained again`);
    await store.forget(spec.id);
    const again = await trained(context, spec, config, async () => {});
    checkpoint = await store.checkpoint(spec.id, log);
    if (!checkpoint) throw new Error(`${spec.id} has no checkpoint: ${again.ended}`);
    if (again.weights !== weights) {
      await store.write({ spec, training: { key, value: again }, measures: {} });
      throw new WeightsChanged(
        `${spec.id}: it has other weights than its record, what was measured with those is dropped`,
      );
    }
  }
  return { spec, classifier: classifierOf(checkpoint, spec.id) };
}

/** Between the machines of a training that went on on another one: its seconds are no time of either. */
export const THEN = ', then ';

async function trained(
  context: StudyContext,
  spec: RunSpec,
  config: TrainingConfig,
  note: (training: TrainingRecord) => Promise<void>,
): Promise<TrainingRecord> {
  const { engine, dataset, digest, machine, store, log } = context;
  const whole = stepsPerEpoch(context);
  const resume = await store.checkpoint(spec.id, log);
  const known = resume ? (await store.read(spec)).training?.value : undefined;
  const before = known?.epochs ?? [];
  let epochs: readonly EpochRecord[] = before.filter(({ epoch }) => epoch <= Math.ceil((resume?.step ?? 0) / whole));
  let weights = resume ? digestOf(resume) : '';
  const machines = [...new Set([...(known?.machine.split(THEN) ?? []), machine])].join(THEN);
  const record = (ended: string): TrainingRecord => ({ epochs, ended, weights, machine: machines });
  const options = {
    run: spec.id,
    datasetDigest: digest,
    ...(resume ? { resume } : {}),
    ...withSignal(context),
  };
  try {
    for await (const event of train(engine, config, dataset, options)) {
      if (event.type === 'epoch') {
        const { epoch, step, seconds, maskSeconds, trainLoss, heldOutAccuracy = 0 } = event;
        const share = step / whole - (epoch - 1);
        const made = { epoch, ...(share < 1 ? { share } : {}), seconds, maskSeconds, trainLoss, heldOutAccuracy };
        epochs = [...epochs, made];
      } else if (event.type === 'checkpoint') {
        weights = digestOf(event.checkpoint);
        // Before the checkpoint: of epochs that it does not have yet nothing is gone on with, of those that the record has not nothing is known.
        await note(record(''));
        await store.keep(spec.id, event.checkpoint);
      }
    }
  } catch (error) {
    // What diverges or overfits is a finding; its last good checkpoint has been kept.
    if (error instanceof TrainingError && error.step !== undefined) return record(error.message);
    throw error;
  }
  return record('completed');
}

function digestOf(checkpoint: Checkpoint): string {
  const weights = encodeCheckpoint(checkpoint)['weights.safetensors'] ?? new Uint8Array();
  return createHash('sha256').update(weights).digest('hex');
}

/** Mean seconds of an epoch, making the masks included; undefined for a training that broke down before it had made one. */
export function secondsPerEpoch({ epochs }: TrainingRecord): number | undefined {
  if (epochs.length === 0) return undefined;
  return epochs.reduce((sum, { seconds }) => sum + seconds, 0) / lengthOf({ epochs });
}

/** Seconds of the fastest epoch, with its share of the making of masks: other work on the machine disturbs it least. */
export function fastestEpoch({ epochs }: TrainingRecord): number | undefined {
  if (epochs.length === 0) return undefined;
  const masks = epochs.reduce((sum, { maskSeconds }) => sum + maskSeconds, 0) / lengthOf({ epochs });
  return masks + Math.min(...epochs.map(({ seconds, maskSeconds, share = 1 }) => (seconds - maskSeconds) / share));
}

/** Epochs that were made, the last one maybe in part. */
export function lengthOf({ epochs }: Pick<TrainingRecord, 'epochs'>): number {
  return epochs.reduce((sum, { share = 1 }) => sum + share, 0);
}

/** Seconds until the held-out accuracy first reached a target; undefined: it never did. */
export function secondsTo({ epochs }: TrainingRecord, target: number): number | undefined {
  const at = epochs.findIndex(({ heldOutAccuracy }) => heldOutAccuracy >= target);
  return at < 0 ? undefined : epochs.slice(0, at + 1).reduce((sum, { seconds }) => sum + seconds, 0);
}
