import { cpus } from 'node:os';
import { join } from 'node:path';
import { decodeDataset, type Files } from '@jsigr/datasets';
import { createAnnouncedEngine, type EngineOptions } from '@jsigr/engine';
import { studyPage } from './page.ts';
import type { Profile } from './profile.ts';
import { StudyStore, writeWhole } from './store.ts';
import { runStudy } from './study.ts';
import { firstImages } from './study-context.ts';
import { studyPlots } from './study-plots.ts';

export interface ReproduceOptions {
  readonly profile: Profile;
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
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Trains, attacks and explains a whole study and writes its page and plots. Started again it goes on where it was.
 * @returns the files that were written, the page first
 */
export async function reproduce(options: ReproduceOptions): Promise<readonly string[]> {
  const { profile, quick, files, digest, out, work, command, compute = {}, log, signal } = options;
  const dataset = firstImages(decodeDataset(files), profile.images);
  const engine = await createAnnouncedEngine(compute);
  try {
    const store = new StudyStore(join(out, profile.name), join(work, profile.name));
    const context = { profile, engine, dataset, digest, store, log, ...(signal ? { signal } : {}) };
    const results = await runStudy(context);
    const plots = studyPlots(profile, results);
    const processors = cpus();
    const machine = `${processors.length} cores, ${processors[0]?.model.trim() ?? 'unknown processor'}`;
    const page = studyPage(profile, results, { command, machine, digest, quick, plots });
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
