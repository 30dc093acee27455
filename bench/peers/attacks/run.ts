import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Engine, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { argmax, predict } from '@jsigr/models';
import { between, readMachine } from '../machine.ts';
import type { Answer, BenchDevice, Job, ModelCase, Tool } from './cases.ts';
import { judged } from './judge.ts';
import type { Trained } from './models.ts';
import { findResult, keepResult, PAGE_SEED } from './results.ts';

/** Images that the file of a model holds, at most: the first ones of the test split. */
const IMAGES = 1000;
/** Within this, PyTorch computes the same network as we do. */
const AGREEMENT = 1e-4;

export interface RunSetup {
  readonly folder: string;
  /** Folder of the raw results. */
  readonly results: string;
  readonly python: string;
  readonly threads: number;
  readonly batchSize: number;
  readonly device: BenchDevice;
  readonly seed: number;
  readonly processor: string;
}

export interface RunCase {
  readonly model: ModelCase;
  readonly trained: Trained;
  readonly attack: string;
  readonly tool: Tool;
  readonly epsilon: number;
  readonly samples: number;
}

/** Attacks in a process of its own, has our model judge what comes back, and keeps the result; nothing if it is there already. */
export async function runCase(engine: Engine, setup: RunSetup, each: RunCase): Promise<void> {
  const { folder, results, threads, batchSize, device, seed, processor } = setup;
  const { model, trained, attack, tool, epsilon, samples } = each;
  const made = {
    model: model.name,
    digest: trained.digest,
    attack,
    tool,
    epsilon,
    samples,
    batchSize,
    threads,
    device,
    ...(seed === PAGE_SEED ? {} : { seed }),
  };
  if (findResult(results, made)) return;
  const { input, correct } = await inputOf(engine, folder, model, trained);
  // A worker that outlived a killed run must not write into this one.
  const output = join(folder, `adversarial.${process.pid}.safetensors`);
  const job: Job = {
    network: model.network,
    attack,
    tool,
    epsilon,
    samples,
    batchSize,
    threads,
    device,
    seed,
    input,
    output,
  };
  const before = readMachine([]);
  const { processorSeconds, ...answer } = await work(setup.python, job);
  const { seconds: elapsed, otherCores: busy } = between(before, readMachine([]));
  if (!(answer.deviation <= AGREEMENT))
    throw new Error(`${model.name}: logits of ${tool} deviate by ${answer.deviation}, over ${AGREEMENT}`);
  const attacked = correct.filter((index) => index < samples);
  const verdicts = await judged(engine, trained, { indices: attacked, epsilon, images: adversarialOf(output) });
  rmSync(output);
  keepResult(results, {
    ...made,
    ...answer,
    ...verdicts,
    correct: attacked,
    processor,
    otherCores: Math.max(0, busy - processorSeconds / elapsed),
  });
  console.error(
    `${model.name} ${epsilon.toFixed(4)} ${attack} ${tool}: ${verdicts.broken.length} of ${attacked.length} broken, ${answer.seconds.toFixed(1)} s`,
  );
}

/** The file that all tools read, made once for each model. */
async function inputOf(engine: Engine, folder: string, model: ModelCase, { classifier, digest, test }: Trained) {
  const input = join(folder, 'inputs', `${model.name}.${digest.slice(0, 8)}.safetensors`);
  const count = Math.min(IMAGES, test.count);
  const size = test.images.length / test.count;
  const images = test.images.subarray(0, count * size);
  if (!existsSync(input)) {
    const pixels = {
      shape: [count, ...classifier.input],
      dtype: 'float32',
      data: Float32Array.from(images, (v) => v / 255),
    } as const;
    const { logits } = await predict(engine, classifier, pixels);
    const parameters = Object.entries(classifier.parameters).map(([name, array]) => [`parameters/${name}`, array]);
    mkdirSync(join(folder, 'inputs'), { recursive: true });
    const fresh = `${input}.${process.pid}.tmp`; // other runs may share the folder
    writeFileSync(
      fresh,
      writeSafetensors({
        images: { dtype: 'uint8', shape: pixels.shape, data: images },
        labels: { dtype: 'uint8', shape: [count], data: test.labels.subarray(0, count) },
        logits,
        ...Object.fromEntries(parameters),
      }),
    );
    renameSync(fresh, input);
  }
  const { logits } = readSafetensors(readFileSync(input)).tensors;
  const scores = (logits?.data ?? new Float32Array()) as Float32Array;
  const { classes } = classifier;
  const correct = Array.from({ length: count }, (_, i) => i).filter(
    (i) => argmax(scores.subarray(i * classes, (i + 1) * classes)) === test.labels[i],
  );
  return { input, correct };
}

function adversarialOf(file: string): Float32Array {
  const { adversarial } = readSafetensors(readFileSync(file)).tensors;
  if (adversarial?.dtype !== 'float32') throw new Error(`${file} holds no float32 "adversarial"`);
  return adversarial.data as Float32Array;
}

/** Runs a worker to its end. @throws Error with what it ended with. */
async function work(python: string, job: Job): Promise<Answer> {
  const script = job.tool === 'ours' ? 'our-worker.ts' : 'worker.py';
  const child = spawn(
    job.tool === 'ours' ? process.execPath : python,
    [fileURLToPath(new URL(script, import.meta.url)), JSON.stringify(job)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: String(job.threads),
        OMP_WAIT_POLICY: 'PASSIVE', // see bench/peers/README.md
        PYTHONDONTWRITEBYTECODE: '1',
      },
    },
  );
  const stop = () => child.kill();
  process.once('exit', stop);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  process.off('exit', stop);
  if (code !== 0) throw new Error(`${job.tool} ended with ${code} at ${job.attack}; what it wrote is above`);
  return JSON.parse(text.trim().split('\n').at(-1) ?? '') as Answer;
}
