import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
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
      throw new Error(`${path} cannot be read: ${error.message}`, { cause: error });
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

  /**
   * The newest checkpoint of a run.
   * @param onDamaged told why one that is there is worth nothing: then the run has none
   */
  async checkpoint(id: string, onDamaged: (why: string) => void): Promise<Checkpoint | undefined> {
    const folder = join(this.#checkpoints, id);
    const [newest] = await stepsIn(folder);
    if (newest === undefined) return undefined;
    const place = join(folder, String(newest));
    try {
      const files = await Promise.all(
        FILES.map(async (name) => [name, new Uint8Array(await readFile(join(place, name)))] as const),
      );
      return decodeCheckpoint(Object.fromEntries(files));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // No permission, no handles left: that says nothing about the checkpoint.
      if (code !== undefined && !NO_FILE.includes(code)) throw error;
      onDamaged(`the checkpoint ${place} is damaged: ${message}`);
      await this.forget(id);
      return undefined;
    }
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

  /** Adversarial examples as they were kept; undefined where there are none, or not the same bytes any more. */
  async examples(key: string): Promise<Uint8Array | undefined> {
    const found = await readFile(this.#examplesFile(key)).catch(() => Buffer.alloc(0));
    const [digest, bytes] = [found.subarray(0, DIGEST_BYTES), found.subarray(DIGEST_BYTES)];
    return digest.equals(sha256(bytes)) ? bytes : undefined;
  }

  async keepExamples(key: string, bytes: Uint8Array): Promise<void> {
    await writeWhole(this.#examplesFile(key), Buffer.concat([sha256(bytes), bytes]));
  }

  /** The digest of what follows, and a safetensors file. */
  #examplesFile(key: string): string {
    return join(this.#checkpoints, 'examples', `${key}.examples`);
  }

  async forget(id: string): Promise<void> {
    await rm(join(this.#checkpoints, id), { recursive: true, force: true });
  }
}

const DIGEST_BYTES = 32;
/** What the system says where there is no file to read. */
const NO_FILE: readonly string[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP'];
const FILES = ['manifest.json', 'weights.safetensors', 'optimizer.safetensors'] as const;

/** Steps of the whole checkpoints, the newest first; what broke off has another name. */
async function stepsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => b - a);
}

/** Under another name first: what is there is always whole. Several processes of a study may make the same examples at once. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const partial = `${path}.${process.pid}.part`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(partial, content, { flush: true });
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** What a value depends on, in short. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
