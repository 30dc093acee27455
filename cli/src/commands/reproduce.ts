import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dataset } from '@jsigr/proto';
import { cancelled, failedPrecondition, invalidArgument, JsigrError, serverStream } from '@jsigr/service/client';
import { type Profile, profiles, rowsOf } from '@jsigr/study/profiles';
import { Argument, Command } from 'commander';
import {
  type CommandGroup,
  type Context,
  computeOf,
  dataDirectory,
  examples,
  type GlobalOptions,
  pathOf,
} from '../context.ts';
import { checkTarget, fromFileError } from '../files.ts';
import { integer, words } from '../options.ts';
import { outputOf } from '../output.ts';
import { findDataset } from '../resolve.ts';
import { type Session, withSession } from '../session.ts';

interface ReproduceOptions extends GlobalOptions {
  readonly quick: boolean;
  readonly out: string;
  readonly seeds?: number;
  readonly architectures?: readonly string[];
  readonly objectives?: readonly string[];
  readonly jobs: number;
  readonly soFar: boolean;
}

const STUDIES = `
Studies:
${Object.entries(profiles)
  .map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`)
  .join('\n')}`;

export const reproduceCommand: CommandGroup = (context) =>
  new Command('reproduce')
    .description(
      'train, attack and explain a whole study of architectures, objectives and seeds, and write its page and plots; started again it goes on where it was',
    )
    .addArgument(new Argument('<profile>', 'which study').choices(Object.keys(profiles)))
    .option('--quick', 'a small variant that shows that all of it runs', false)
    .option('--out <folder>', 'where PROFILE.md, its plots and the raw results go', 'docs/results')
    .option('--seeds <number>', 'only the first so many seeds; more can be added later', integer(1))
    .option('--architectures <names>', 'only these of the study, such as resnet8,vgg7; more can be added later', words)
    .option(
      '--objectives <names>',
      'only these of the study, such as standard,jsigr,pgd-at, and those that they depend on; more can be added later',
      words,
    )
    .option(
      '--jobs <number>',
      'models made at once, each in a process of its own with its share of the cores',
      integer(1),
      1,
    )
    .option(
      '--so-far',
      'write the page of what has been made, also by a command that is at it, and make nothing',
      false,
    )
    .addHelpText('after', STUDIES)
    .addHelpText(
      'after',
      examples(
        'jsigr reproduce glyphs --quick',
        'jsigr datasets import mnist --format mnist path/to/idx-files && jsigr reproduce mnist',
        'jsigr reproduce mnist --seeds 1 --architectures lenet',
        'jsigr reproduce glyphs --architectures lenet --objectives standard,jsigr,pgd-at',
        'jsigr reproduce cifar-subset --device cuda --jobs 8',
      ),
    )
    .action(async (name: string, _: unknown, command: Command) =>
      run(name, command.optsWithGlobals<ReproduceOptions>(), context),
    );

async function run(name: string, options: ReproduceOptions, context: Context): Promise<void> {
  const { terminal } = context;
  const { quick, engine: _engine, device: _device, ...others } = options;
  const study = profiles[name];
  if (!study) throw new Error(`there is no study "${name}"`); // the command line was checked
  const whole = quick ? study.quick : study.full;
  const profile = partOf(whole, options);
  // What computes here is this command itself: a gateway only hands out the dataset.
  const { files, digest } = await withSession(others, context, (session) => datasetOf(profile, session));
  await checkTarget(pathOf(options.out, terminal), true);
  const output = outputOf(options, context);
  const began = terminal.now();
  const stopping = new AbortController();
  const work = join(dataDirectory(options, terminal), 'studies');
  const lock = options.soFar
    ? undefined
    : await hold(join(work, profile.name), output.say, (error) => stopping.abort(error));
  const release = terminal.onInterrupt(() => stopping.abort(cancelled('interrupted; started again it goes on')));
  try {
    const { NotMade, reproduce } = await import('@jsigr/study');
    const written = await reproduce({
      profile,
      whole,
      quick,
      files,
      digest,
      out: pathOf(options.out, terminal),
      work,
      command: commandOf(name, options),
      compute: computeOf(options, terminal),
      jobs: options.jobs,
      isReadOnly: options.soFar,
      log: (line) => output.say(`${minutes(terminal.now() - began)}  ${line}`),
      signal: stopping.signal,
    }).catch((error) => {
      if (!(error instanceof NotMade)) throw error;
      throw failedPrecondition('NOT_MADE', error.message, 'start it without --so-far');
    });
    if (options.output === 'json') terminal.out(`${JSON.stringify({ files: written })}\n`);
    output.say(`\n${written.join('\n')}`);
  } finally {
    release();
    await lock?.release();
  }
}

/** @throws JsigrError naming the architecture or the objective that the study does not have */
function partOf(whole: Profile, options: ReproduceOptions): Profile {
  const all = whole.objectives.map(({ objective }) => objective);
  const { seeds, architectures = whole.architectures, objectives = all } = options;
  checkPart(whole, '--architectures', architectures, whole.architectures);
  checkPart(whole, '--objectives', objectives, all);
  return {
    ...whole,
    seeds: whole.seeds.slice(0, seeds),
    architectures: whole.architectures.filter((each) => architectures.includes(each)),
    objectives: rowsOf(whole, objectives),
  };
}

function checkPart({ name }: Profile, option: string, some: readonly string[], all: readonly string[]): void {
  const foreign = some.find((each) => !all.includes(each));
  if (foreign !== undefined)
    throw invalidArgument(option, `the study ${name} has ${[...new Set(all)].join(', ')}, not "${foreign}"`);
}

function commandOf(name: string, { quick, seeds, architectures, objectives }: ReproduceOptions): string {
  return [
    `jsigr reproduce ${name}`,
    ...(quick ? ['--quick'] : []),
    ...(seeds === undefined ? [] : [`--seeds ${seeds}`]),
    ...(architectures === undefined ? [] : [`--architectures ${architectures.join(',')}`]),
    ...(objectives === undefined ? [] : [`--objectives ${objectives.join(',')}`]),
  ].join(' ');
}

/** Takes the folder of a study's weights: two commands at once would write over each other's. @throws JsigrError STUDY_IN_USE */
async function hold(folder: string, onWaiting: (why: string) => void, onLost: (error: JsigrError) => void) {
  const { takeLock } = await import('@jsigr/gateway/lock');
  try {
    await mkdir(folder, { recursive: true });
    return await takeLock(folder, { onWaiting, onLost });
  } catch (error) {
    if (JsigrError.from(error).reason !== 'DATA_DIRECTORY_IN_USE') throw fromFileError(error, folder);
    throw failedPrecondition(
      'STUDY_IN_USE',
      `another \`jsigr reproduce\` is at work in ${folder}`,
      'wait until it is done, or choose another data directory and another --out',
    );
  }
}

function minutes(milliseconds: number): string {
  return `${(milliseconds / 60_000).toFixed(1).padStart(6)} min`;
}

async function datasetOf({ dataset, format }: Profile, session: Session) {
  const found = await findDataset(session, dataset).catch((error): never => {
    const { code, reason, message } = JsigrError.from(error);
    const hint = format
      ? `import it first: jsigr datasets import ${dataset} --format ${format} FOLDER`
      : 'jsigr datasets list';
    throw new JsigrError({ code, reason, message, hint, cause: error });
  });
  return { files: await filesOf(found, session), digest: found.digest };
}

async function filesOf({ name, files }: Dataset, session: Session): Promise<Record<string, Uint8Array>> {
  const read: Record<string, Uint8Array> = {};
  for (const { path } of files) {
    const chunks: Uint8Array[] = [];
    for await (const { data } of serverStream(session.datasets, 'readDatasetFile', { name, path, readOffset: 0 }))
      chunks.push(data);
    read[path] = new Uint8Array(Buffer.concat(chunks));
  }
  return read;
}
