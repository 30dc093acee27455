import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dataset, importers, type Split } from '@jsigr/datasets';
import { trainToEnd } from '@jsigr/defenses';
import type { Engine } from '@jsigr/engine';
import {
  type Checkpoint,
  type CheckpointFiles,
  type Classifier,
  decodeCheckpoint,
  encodeCheckpoint,
  openModel,
} from '@jsigr/models';
import { type ModelCase, TASKS, TRAINING_IMAGES } from './cases.ts';

const FILES = ['manifest.json', 'weights.safetensors', 'optimizer.safetensors'] as const;

/** A trained model, and the test images that it is attacked on. */
export interface Trained {
  readonly classifier: Classifier;
  /** Of its weights. */
  readonly digest: string;
  readonly test: Split;
}

/** Reads the model from the folder, or trains it and keeps it there. @throws Error if it is not there and must not be trained */
export async function trainedModel(
  engine: Engine,
  model: ModelCase,
  options: { readonly folder: string; readonly data: string; readonly train: boolean },
): Promise<Trained> {
  const dataset = await datasetOf(model.network, options.data);
  const folder = join(options.folder, 'models', model.name);
  if (!existsSync(folder)) {
    if (!options.train) throw new Error(`there is no model in ${folder}; --train makes it`);
    await train(engine, model, dataset, folder);
  }
  const files = filesOf(folder);
  const digest = createHash('sha256')
    .update(files['weights.safetensors'] ?? '')
    .digest('hex');
  const { classifier } = await openModel(files, digest);
  return { classifier, digest, test: dataset.test };
}

const datasets = new Map<string, Promise<Dataset>>();

function datasetOf(network: string, directory: string): Promise<Dataset> {
  const format = TASKS[network]?.data ?? '';
  const known = datasets.get(format) ?? importers[format]?.read(join(directory, format));
  if (!known) throw new Error(`there is no importer for ${network}`);
  datasets.set(format, known);
  return known;
}

/** Trains to the end; what was interrupted goes on from its last epoch. */
async function train(engine: Engine, { name, network, objective }: ModelCase, whole: Dataset, folder: string) {
  const settings = TASKS[network]?.train[objective];
  const dataset = { ...whole, train: firstOf(whole.train, TRAINING_IMAGES) };
  const partial = `${folder}.partial`;
  const checkpoint = await trainToEnd(engine, { architecture: network, ...settings }, dataset, {
    ...(existsSync(partial) && { resume: decodeCheckpoint(filesOf(partial)) }),
    onEvent: (event) => {
      if (event.type === 'epoch')
        console.error(
          `${name}: epoch ${event.epoch}, loss ${event.trainLoss.toFixed(3)}, held out ${event.heldOutAccuracy?.toFixed(3)}, ${event.seconds.toFixed(0)} s`,
        );
      if (event.type === 'checkpoint') write(partial, event.checkpoint);
    },
  });
  write(folder, checkpoint);
  rmSync(partial, { recursive: true, force: true });
}

function filesOf(folder: string): CheckpointFiles {
  return Object.fromEntries(FILES.map((name) => [name, readFileSync(join(folder, name))]));
}

/** All files or none, in place of what was there. */
function write(folder: string, checkpoint: Checkpoint): void {
  const fresh = `${folder}.tmp`;
  mkdirSync(fresh, { recursive: true });
  for (const [file, bytes] of Object.entries(encodeCheckpoint(checkpoint))) writeFileSync(join(fresh, file), bytes);
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
}

function firstOf({ count, images, labels }: Split, most: number): Split {
  const taken = Math.min(count, most);
  return {
    count: taken,
    images: images.subarray(0, (images.length / count) * taken),
    labels: labels.subarray(0, taken),
  };
}
