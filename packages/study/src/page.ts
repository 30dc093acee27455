import { profiles as attackProfiles } from '@jsigr/attacks';
import { cellsOf, costRatios, HAS, mainRadius, pairOf, radiiOf, type StudyCell } from './cells.ts';
import { EQUAL_CLEAN, type Trial } from './choice.ts';
import { claimsOf } from './claims.ts';
import { claimsText, RULES } from './claims-text.ts';
import { corruptionNotes } from './corruption.ts';
import { figureOf } from './estimate.ts';
import { STABLE_SHARE } from './explanation.ts';
import { duelCells, duelsOf, findings } from './findings.ts';
import { LABELS, type Profile } from './profile.ts';
import { publishedSection } from './published-section.ts';
import type { StudyResults } from './study.ts';
import { decimal, markdownTable, percent, radiusText, settingsText } from './text.ts';
import { lengthOf } from './training.ts';
import { TRANSFER_RECIPE } from './transfer.ts';

/** What a reader must know of how a page came about. */
export interface Provenance {
  /** The whole study, where the page's profile has fewer seeds or architectures. */
  readonly whole: Profile;
  readonly command: string;
  readonly digest: string;
  readonly quick: boolean;
  /** Names of the plots' files, beside the page. */
  readonly plots: readonly { readonly file: string; readonly title: string }[];
}

/** The results of a study as a page of Markdown: every table with robust accuracies has the verdict on masked gradients. */
export function studyPage(profile: Profile, results: StudyResults, provenance: Provenance): string {
  const cells = cellsOf(profile, results.runs);
  const duels = duelsOf(profile, cells);
  const sections: readonly (readonly [string, string])[] = [
    ['What the evidence says', `${RULES}\n\n${claimsText(claimsOf(profile, cells, duels, provenance.whole), 3)}`],
    [
      'What the numbers say',
      findings(profile, cells, duels)
        .map((finding) => `- ${finding}`)
        .join('\n'),
    ],
    ['Robust accuracy', robustSection(profile, cells, provenance)],
    ['J-SIGR beside its halves and its rivals', duelSection(duels.map(duelCells))],
    ['Transferred, from each architecture to each', transferSection(profile, cells)],
    ['Published neighbours', publishedSection(profile, cells)],
    ['Corrupted images', corruptionSection(profile, cells)],
    ['Explanations', explanationSection(profile, cells, results.maskShare)],
    ['Cost', costSection(profile, cells)],
    ['Masked gradients', maskingSection(cells)],
    ['Settings', settingsSection(profile, cells, results.trials)],
  ];
  return `# ${profile.name}\n\n${head(profile, results, provenance)}\n${sections
    .filter(([, body]) => body !== '')
    .map(([title, body]) => `\n## ${title}\n\n${body.trimEnd()}\n`)
    .join('')}`;
}

function head(profile: Profile, { runs }: StudyResults, { whole, command, digest, quick }: Provenance): string {
  const { images, epochs, samples, attack } = profile;
  const seeds = profile.seeds.filter((seed) => runs.some(({ spec }) => spec.seed === seed));
  const machines = [...new Set(runs.flatMap(({ training }) => training?.value.machine ?? []))];
  const weak = attack === 'autoattack' ? '' : ', weaker than AutoAttack';
  return `Made by \`${command}\` from the raw results in [${profile.name}](${profile.name}): a file a model, per sample and seed. Dataset ${profile.dataset}, sha256 ${digest.slice(0, 12)}. Machine${machines.length > 1 ? 's' : ''}: ${machines.join(' and ')}.
${quick ? '\nThis is the quick variant: it shows that the study runs. Its figures mean little.\n' : ''}${partText(profile, whole, runs.length)}
White-box attacks are the profile \`${attack}\` of packages/attacks${weak}: ${attackProfiles[attack]?.summary}.

${images || 'All'} training images, ${epochs} epochs, Adam ${profile.learningRate} with a cosine schedule, batches of ${profile.batchSize}; seed${seeds.length > 1 ? 's' : ''} ${seeds.join(', ')}. Figures in percent are
means over the seeds ± their standard deviation, with 95 % intervals: Student's t over the seeds and Wilson's over the samples, added in squares${seeds.length > 1 ? '' : ' (one seed: the samples alone)'}.
Clean accuracy on all test samples; the first ${samples.attacked} of them under white-box attacks, ${samples.transferred} under transferred examples and corruptions, ${samples.explained} explained. Intervals cover the choice of samples and seeds, not the weakness of an attack.`;
}

/** What of the whole study there is; empty where nothing is missing. */
function partText({ architectures, seeds, objectives }: Profile, whole: Profile, made: number): string {
  const labels = (rows: Profile['objectives']) => rows.map(({ label }) => label);
  const sets = [
    ['architectures', architectures, whole.architectures, ', '],
    ['seeds', seeds, whole.seeds, ', '],
    ['objectives', labels(objectives), labels(whole.objectives), ' / '],
  ] as const;
  const parts = sets
    .filter(([, some, all]) => some.length < all.length)
    .map(([kind, some, all, comma]) => `${some.length} of ${all.length} ${kind} (${some.join(comma)})`);
  const count = architectures.length * seeds.length * objectives.length;
  if (made < count) parts.push(`${made} of ${count} models are made`);
  return parts.length > 0 ? `\nA part of the study: ${parts.join('; ')}.\n` : '';
}

function robustSection(profile: Profile, cells: readonly StudyCell[], { plots }: Provenance): string {
  const radii = radiiOf(profile);
  const header = [
    'architecture',
    'objective',
    'clean',
    ...radii.map((radius) => `transferred ${radiusText(radius)}`),
    ...radii.map((radius) => `white-box ${radiusText(radius)}`),
    'masking',
  ];
  const rows = cells.map((cell) => [
    cell.architecture,
    cell.label,
    percent(cell.clean),
    ...radii.map((radius) => percent(cell.transferred(radius))),
    ...radii.map((radius) => percent(cell.whiteBox(radius))),
    cell.masking,
  ]);
  return `- transferred: withstands the examples (${TRANSFER_RECIPE}, 10 steps) of every other architecture of ${profile.sources.join(', ')}, one standard model each, of seeds that the study does not have
- white-box: withstands every attack of the profile \`${profile.attack}\` of packages/attacks
- masking: the gravest verdict of the seeds on masked gradients, at ${radiusText(mainRadius(profile))}

${markdownTable(header, rows)}
${plots.map(({ file, title }) => `![${title}](${file})`).join('\n\n')}`;
}

function duelSection(rows: readonly string[][]): string {
  if (rows.length === 0) return '';
  return `J-SIGR minus the rival on the same samples, in points, mean over the seeds; p by McNemar's exact test, seed by seed. Ahead or behind: at every seed, each time with p < 0.05. Clean: the same
difference without attack; a lead at the cost of clean accuracy is another thing than one without. White-box figures
and verdicts mean no more than the masking column allows.

${markdownTable(['architecture', 'attack', 'radius', 'rival', 'difference', 'p', 'J-SIGR is', 'clean', 'masking'], rows)}`;
}

function transferSection(profile: Profile, cells: readonly StudyCell[]): string {
  const radius = mainRadius(profile);
  return `At ${radiusText(radius)}. A source of the model's own architecture has another seed; it is not part of the figures above.

${markdownTable(
  ['architecture', 'objective', ...profile.sources.map((source) => `from ${source}`), 'masking'],
  cells.map((cell) => [
    cell.architecture,
    cell.label,
    ...profile.sources.map((source) => percent(cell.transferredFrom(source, radius))),
    cell.masking,
  ]),
)}`;
}

function corruptionSection(_: Profile, cells: readonly StudyCell[]): string {
  const kinds = [
    ...new Map(
      cells.flatMap(({ runs }) =>
        runs.flatMap(({ measures }) =>
          (measures.corruption?.value ?? []).map(({ name, severity }) => [`${name} ${severity}`, { name, severity }]),
        ),
      ),
    ),
  ];
  return `Accuracy. ${corruptionNotes.join('; ')}.

${markdownTable(
  ['architecture', 'objective', ...kinds.map(([title]) => title)],
  cells.map((cell) => [
    cell.architecture,
    cell.label,
    ...kinds.map(([, { name, severity }]) => percent(cell.corrupted(name, severity))),
  ]),
)}`;
}

function explanationSection(profile: Profile, cells: readonly StudyCell[], maskShare: number | undefined): string {
  const hasMasks = maskShare !== undefined;
  const tables = profile.methods.map((method) => {
    const rows = cells.map((cell) => [
      cell.architecture,
      cell.label,
      ...(hasMasks ? [percent(cell.explained(method, 'mass')), percent(cell.explained(method, 'rank'))] : []),
      decimal(cell.explained(method, 'insertion'), 3),
      decimal(cell.explained(method, 'deletion'), 3),
      decimal(cell.explained(method, 'sparseness'), 3),
      percent(cell.explained(method, 'stability')),
    ]);
    const header = [
      'architecture',
      'objective',
      ...(hasMasks ? ['mass', 'rank'] : []),
      'insertion',
      'deletion',
      'sparseness',
      'stability',
    ];
    return `Maps by \`${method}\`:\n\n${markdownTable(header, rows)}`;
  });
  return `${maskShare !== undefined ? `- mass, rank: share of the relevance, and of the most relevant pixels, that lies on what makes the class (Arras et al. 2020); a map that knows nothing has ${(100 * maskShare).toFixed(1)} %\n` : ''}- insertion (high is good), deletion (low is good): area under the label's probability while pixels come or go, the most relevant first (Petsiuk et al. 2018)
- sparseness: Gini index of the map, 0 to 1 (neither good nor bad by itself)
- stability: share of the ${100 * STABLE_SHARE} % most relevant pixels that stay so under PGD-10 at the smallest radius (Ghorbani et al. 2019)

${tables.join('\n')}`;
}

function costSection(profile: Profile, cells: readonly StudyCell[]): string {
  const rows = cells.map((cell) => {
    const standard = cells.find((each) => each.architecture === cell.architecture && each.label === LABELS.standard);
    const pair = standard && pairOf(cell, standard, HAS.epochs);
    const ratio = figureOf(pair ? costRatios(pair) : [])?.mean.toFixed(2) ?? '-';
    const lengths = cell.runs.map(({ training }) => (training ? lengthOf(training.value) : 0));
    const epochs = [...new Set(lengths.map((length) => Number(length.toFixed(2))))].join(', ');
    return [
      cell.architecture,
      cell.label,
      epochs,
      decimal(cell.secondsPerEpoch, 2),
      ratio,
      decimal(cell.seconds, 1),
      decimal(cell.secondsTo(profile.target), 1),
    ];
  });
  return `Wall seconds, the making of masks and the held-out accuracy included, compilation in the first epoch too; those of two machines are not compared. The last column: until the held-out accuracy
reached ${(100 * profile.target).toFixed(0)} %; - where a seed never got there. Times of a machine that did something else besides are worth nothing.${sameTimeText(profile, cells)}

${markdownTable(
  [
    'architecture',
    'objective',
    'epochs',
    'seconds an epoch',
    'times standard',
    'seconds in all',
    `to ${(100 * profile.target).toFixed(0)} %`,
  ],
  rows,
)}`;
}

function sameTimeText({ objectives, architectures }: Profile, cells: readonly StudyCell[]): string {
  return objectives
    .flatMap(({ label, sameTime }) => {
      if (!sameTime) return [];
      const { as, pace } = sameTime;
      const uneven = architectures.filter((architecture) => {
        const [one, other] = [as, pace].map((of) =>
          cells.find((each) => each.architecture === architecture && each.label === of),
        );
        const pair = one && other && pairOf(one, other, HAS.epochs);
        return pair && costRatios(pair).length < pair.seeds.length;
      });
      const caveat =
        uneven.length > 0
          ? ` (${uneven.join(', ')}: **trained on different machines**, so that the times are not equal)`
          : '';
      return ` ${label}: as many steps as fit into the time of the whole training of ${as}, at the pace of ${pace}${caveat}, with the schedule and the warm-up over those steps.`;
    })
    .join('');
}

function maskingSection(cells: readonly StudyCell[]): string {
  return `What was looked at: zero and useless gradients, gradient-free attacks, noise, transferred examples, one step against many, losses, restarts, unbounded attacks. No sign says that these looks found nothing.

${markdownTable(
  ['architecture', 'objective', 'verdict', 'signs'],
  cells.map((cell) => [cell.architecture, cell.label, cell.masking, cell.maskingSigns.join('; ') || '-']),
)}`;
}

function settingsSection(
  profile: Profile,
  cells: readonly StudyCell[],
  trials: Readonly<Record<string, readonly Trial[]>>,
): string {
  const [architecture = ''] = profile.architectures;
  const used = markdownTable(
    ['objective', 'trained by', 'settings', 'noise on the images'],
    cells
      .filter((cell) => cell.architecture === architecture)
      .flatMap(({ label, runs: [run] }) =>
        run ? [[label, run.spec.objective, settingsText(run.spec.settings), String(run.spec.noise)]] : [],
      ),
  );
  const tried = Object.entries(trials).flatMap(([label, row]) =>
    row.map(({ recipe, clean, transferred, chosen, brokeDown }) => [
      label,
      settingsText(recipe.settings),
      String(recipe.noise ?? 0),
      (100 * clean).toFixed(1),
      (100 * transferred).toFixed(1),
      [...(chosen ? ['chosen'] : []), ...(brokeDown ? [`broke down: ${brokeDown}`] : [])].join('; '),
    ]),
  );
  const { choice } = profile;
  if (!choice || tried.length === 0) return `${used}\nNothing was chosen here: settings are those of the profile.`;
  const masking = 'masking: not assessed';
  return `${used}
Chosen before the study on at most ${choice.samples} held-out training images (${choice.architecture}, ${choice.epochs} epochs, seed ${choice.seed}): the best under transferred examples at ${radiusText(mainRadius(profile))} among those whose clean
accuracy is within ${(100 * choice.tolerance).toFixed(0)} point of the best of the objective.${matchedText(profile)} Test images decided nothing; ${masking}.

${markdownTable(['objective', 'settings', 'noise', 'held-out clean', 'held-out transferred', ''], tried)}`;
}

function matchedText({ objectives }: Profile): string {
  return objectives
    .filter(({ cleanOf }) => cleanOf !== undefined)
    .map(
      ({ label, cleanOf }) =>
        ` Of ${label} the best whose held-out clean accuracy is that of ${cleanOf} to within ${100 * EQUAL_CLEAN} points, or the nearest.`,
    )
    .join('');
}
