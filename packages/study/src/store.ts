import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '@jsigr/models';
import type { RunRecord, RunSpec } from './record.ts';

/** Where a study keeps what it has found: records, which are its raw results, and checkpoints, which only the work needs. */
export class StudyStore {
  readonly #records: string;
  readonly #checkpoints: string;

  /** @param records folder of the raw results. @param checkpoints folder of the weights */
  constructor(records: string, checkpoints: string) {
    this.#records = records;
    this.#checkpoints = checkpoints;
  }

  /** The run's record, an empty one where there is none. @throws Error naming the file if it is not one */
  async read(spec: RunSpec): Promise<RunRecord> {
    const path = join(this.#records, `${spec.id}.json`);
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return { spec, measures: {} };
    try {
      const { training, measures } = JSON.parse(text) as RunRecord;
      return { spec, ...(training ? { training } : {}), measures: { ...measures } };
    } catch (cause) {
      throw new Error(`${path} is no record of a study: remove it, and it is made again`, { cause });
    }
  }

  async write(record: RunRecord): Promise<void> {
    await writeWhole(join(this.#records, `${record.spec.id}.json`), `${JSON.stringify(record, undefined, 1)}\n`);
  }

  /** The newest whole checkpoint of a run. */
  async checkpoint(id: string): Promise<Checkpoint | undefined> {
    const folder = join(this.#checkpoints, id);
    const [newest] = await stepsIn(folder);
    if (newest === undefined) return undefined;
    const files = await Promise.all(
      FILES.map(async (name) => [name, new Uint8Array(await readFile(join(folder, String(newest), name)))] as const),
    );
    return decodeCheckpoint(Object.fromEntries(files));
  }

  /** Keeps a checkpoint in place of the run's earlier ones. */
  async keep(id: string, checkpoint: Checkpoint): Promise<void> {
    const folder = join(this.#checkpoints, id);
    const files = Object.entries(encodeCheckpoint(checkpoint));
    const target = join(folder, String(checkpoint.step));
    for (const [name, bytes] of files) await writeWhole(join(`${target}.part`, name), bytes);
    await rm(target, { recursive: true, force: true });
    await rename(`${target}.part`, target);
    const [, ...older] = await stepsIn(folder);
    for (const step of older) await rm(join(folder, String(step)), { recursive: true, force: true });
  }

  /** Adversarial examples as they were kept. */
  async examples(key: string): Promise<Uint8Array | undefined> {
    return readFile(this.#examplesFile(key)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async keepExamples(key: string, bytes: Uint8Array): Promise<void> {
    await writeWhole(this.#examplesFile(key), bytes);
  }

  #examplesFile(key: string): string {
    return join(this.#checkpoints, 'examples', `${key}.safetensors`);
  }

  async forget(id: string): Promise<void> {
    await rm(join(this.#checkpoints, id), { recursive: true, force: true });
  }
}

const FILES = ['manifest.json', 'weights.safetensors', 'optimizer.safetensors'] as const;

/** Steps of the whole checkpoints, the newest first; what broke off has another name. */
async function stepsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => b - a);
}

/** Under another name first: what is there is always whole. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(`${path}.part`, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.part`, path);
}

/** What a value depends on, in short. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
