import { CollectGarbageResponse } from '@jsigr/proto';
import { invalidArgument, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { number } from '../options.ts';
import { outputOf } from '../output.ts';
import { withSession } from '../session.ts';
import { bytes, count } from '../terminal/format.ts';
import { table } from '../terminal/table.ts';

interface GcOptions extends GlobalOptions {
  readonly dryRun: boolean;
  readonly minAge: number;
  readonly keepProgress: number;
}

export const gcCommand: CommandGroup = (context) =>
  new Command('gc')
    .description('remove what nothing refers to any more; models stay')
    .option('--dry-run', 'only say what would be removed', false)
    .addOption(new Option('--min-age <hours>', 'artefacts younger than this stay').argParser(number).default(1))
    .addOption(
      new Option('--keep-progress <days>', 'runs that finished longer ago lose their progress events')
        .argParser(number)
        .default(30),
    )
    .addHelpText('after', examples('jsigr gc --dry-run', 'jsigr gc --min-age 24 --keep-progress 90'))
    .action(async (_: unknown, command: Command) => collect(command.optsWithGlobals<GcOptions>(), context));

async function collect({ dryRun, minAge, keepProgress, ...options }: GcOptions, context: Context): Promise<void> {
  const request = {
    dryRun,
    minAge: duration('--min-age', minAge, 3600),
    keepProgress: duration('--keep-progress', keepProgress, 24 * 3600),
  };
  await withSession(options, context, async ({ maintenance }) => {
    const response = await unary(maintenance, 'collectGarbage', request);
    outputOf(options, context).show(CollectGarbageResponse, response, ({ garbage }) => {
      const rows = garbage.map(({ kind, count: items, bytes: size }) => [kind, count(items), bytes(size)]);
      const removed = dryRun ? 'WOULD BE REMOVED' : 'REMOVED';
      const columns = [
        { title: removed },
        { title: 'COUNT', align: 'right' },
        { title: 'SIZE', align: 'right' },
      ] as const;
      return table(columns, rows, context.terminal.bold);
    });
  });
}

/** @throws JsigrError INVALID_ARGUMENT for what a message cannot hold; ranges are the gateway's business */
function duration(option: string, given: number, unit: number): { seconds: number; nanos: number } {
  const seconds = given * unit;
  if (!Number.isSafeInteger(Math.floor(seconds)))
    throw invalidArgument(option, `${given} given, which is longer than 2^53 seconds`);
  return { seconds: Math.floor(seconds), nanos: Math.round((seconds % 1) * 1e9) };
}
