import { join } from 'node:path';
import { decodeDataset, type Files } from '@jsigr/datasets';
import { createAnnouncedEngine, type EngineOptions } from '@jsigr/engine';
import { studyPage } from './page.ts';
import type { Profile } from './profile.ts';
import { StudyStore, writeWhole } from './store.ts';
import { runStudy } from './study.ts';
import { firstImages, machineOf } from './study-context.ts';
import { studyPlots } from './study-plots.ts';
import { makeInParallel } from './workers.ts';

export interface ReproduceOptions {
  readonly profile: Profile;
  /** Of which the profile may be a part: fewer seeds, architectures or objectives. */
  readonly whole: Profile;
  readonly quick: boolean;
  /** The dataset's files and digest, as the artefact store has them. */
  readonly files: Files;
  readonly digest: string;
  /** Folder of the page, its plots and, in a folder of the profile's name, the raw results. */
  readonly out: string;
  /** Folder of the weights. */
  readonly work: string;
  /** The command line that makes it again. */
  readonly command: string;
  readonly compute?: EngineOptions;
  /** Models that are made at once, each in a process of its own; 1 (default): one after another, in this one, so that times of one study are comparable. */
  readonly jobs?: number;
  /** Writes the page of what was made so far, and makes nothing; another process may be at work on the study. */
  readonly isReadOnly?: boolean;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Trains, attacks and explains a whole study and writes its page and plots. Started again it goes on where it was.
 * @returns the files that were written, the page first
 */
export async function reproduce(options: ReproduceOptions): Promise<readonly string[]> {
  const {
    profile,
    whole,
    quick,
    files,
    digest,
    command,
    compute = {},
    jobs = 1,
    isReadOnly = false,
    log,
    signal,
  } = options;
  const [out, work] = [options.out, join(options.work, profile.name)];
  const dataset = firstImages(decodeDataset(files), profile.images);
  const engine = await createAnnouncedEngine(compute);
  const stop = signal ? { signal } : {};
  try {
    const records = join(out, profile.name);
    const each = { ...compute, threads: Math.max(1, Math.floor(engine.info.threads / jobs)) };
    if (jobs > 1 && !isReadOnly)
      await makeInParallel({ profile, files, digest, out: records, work, compute: each, jobs, log, ...stop });
    // What the workers have made is there; all that is left is to read it.
    const machine = machineOf(engine, jobs);
    const store = new StudyStore(records, work);
    const context = { profile, engine, dataset, digest, machine, store, log, isReadOnly, ...stop };
    const results = await runStudy(context);
    const plots = studyPlots(profile, results);
    const page = studyPage(profile, results, { whole, command, digest, quick, plots });
    const written = [
      { path: join(out, `${profile.name}.md`), content: page },
      ...plots.map(({ file, svg }) => ({ path: join(out, file), content: svg })),
    ];
    for (const { path, content } of written) await writeWhole(path, content);
    return written.map(({ path }) => path);
  } finally {
    await engine.dispose();
  }
}
