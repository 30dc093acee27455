import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { cellsOf } from './cells.ts';
import { CLAIMS, claimsOf, type Ruling } from './claims.ts';
import { claimsText, RULES } from './claims-text.ts';
import { duelsOf } from './findings.ts';
import type { Profile, Recipe } from './profile.ts';
import type { RunRecord, RunSpec } from './record.ts';
import { writeWhole } from './store.ts';
import { markdownTable } from './text.ts';

/** A study as far as it has been made. */
export interface FoundStudy {
  readonly profile: Profile;
  readonly runs: readonly RunRecord[];
}

/**
 * Writes `evidence.md`: how the claims come out in all studies of which there are raw results.
 * @param folder of the pages; a study's raw results lie in a folder of its name there
 * @returns the page's path
 * @throws Error naming a file that is no record
 */
export async function writeEvidence(folder: string, profiles: readonly Profile[]): Promise<string> {
  const studies = await Promise.all(
    profiles.map(async (profile) => ({ profile, runs: await recordsOf(folder, profile) })),
  );
  const path = join(folder, 'evidence.md');
  await writeWhole(path, evidencePage(studies));
  return path;
}

async function recordsOf(folder: string, profile: Profile): Promise<RunRecord[]> {
  const path = join(folder, profile.name);
  const files = await readdir(path).catch(() => []);
  const records = await Promise.all(
    files
      .filter((file) => file.endsWith('.json'))
      .toSorted()
      .map(async (file) => {
        try {
          return JSON.parse(await readFile(join(path, file), 'utf8')) as RunRecord;
        } catch (cause) {
          throw new Error(`${join(path, file)} is no record of a study`, { cause });
        }
      }),
  );
  return records.filter((record) => isOf(profile, record));
}

/** Whether a record is one of this study as it is today: finished, and by a recipe that it has. */
function isOf({ architectures, seeds, objectives, epochs }: Profile, { spec, training }: RunRecord): boolean {
  const row = objectives.find(({ label }) => label === spec.label);
  if (!row || !training?.value.ended || !architectures.includes(spec.architecture) || !seeds.includes(spec.seed))
    return false;
  // A row at another's time has a length and a warm-up of its own.
  const comparable = ({ epsilonWarmupEpochs = 0, ...settings }: RunSpec['settings']) =>
    row.sameTime ? settings : { ...settings, epsilonWarmupEpochs };
  const isRecipe = ({ settings, noise = 0 }: Recipe) =>
    noise === spec.noise && isDeepStrictEqual(comparable(settings), comparable(spec.settings));
  return (row.sameTime !== undefined || spec.epochs === epochs) && row.recipes.some(isRecipe);
}

/** The claims over all studies: a table of rulings, and each study's numbers. */
export function evidencePage(studies: readonly FoundStudy[]): string {
  const made = studies
    .filter(({ runs }) => runs.length > 0)
    .map(({ profile, runs }) => {
      const cells = cellsOf(profile, runs);
      return { profile, runs, claims: claimsOf(profile, cells, duelsOf(profile, cells)) };
    });
  const names = studies.filter(({ runs }) => runs.length === 0).map(({ profile }) => profile.name);
  const rows = Object.values(CLAIMS).map((title) => [
    title,
    ...made.map(({ claims }): Ruling => claims.find((claim) => claim.title === title)?.ruling ?? 'not measured'),
  ]);
  return `# What the evidence says

Written by \`npm run evidence\` from the raw results of \`jsigr reproduce\` that are in this folder. Quick variants show that a study runs; their figures mean little.

${markdownTable(['claim', ...made.map(({ profile, runs }) => `${profile.name}, ${completeness(profile, runs)}`)], rows)}
${RULES}
${names.length > 0 ? `\nWithout raw results here: ${names.join(', ')}.\n` : ''}${made
  .map(
    ({ profile, runs, claims }) =>
      `\n## ${profile.name}\n\n[The study](${profile.name}.md), ${completeness(profile, runs)}.\n\n${claimsText(claims, 3).trimEnd()}\n`,
  )
  .join('')}`;
}

/** What an unfinished study says covers less than its profile promises. */
function completeness({ architectures, objectives, seeds }: Profile, runs: readonly RunRecord[]): string {
  const count = architectures.length * objectives.length * seeds.length;
  const made = [...new Set(runs.map(({ spec }) => spec.seed))].toSorted();
  const of = seeds.length > 1 ? `, ${made.length > 1 ? 'seeds' : 'seed'} ${made.join(', ')}` : '';
  return `${runs.length} of ${count} models${of}`;
}
