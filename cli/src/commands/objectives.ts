import { ListObjectivesResponse, type Objective, type Setting } from '@jsigr/proto';
import { notFound, unary } from '@jsigr/service/client';
import { Command } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { outputOf } from '../output.ts';
import { withSession } from '../session.ts';
import { type Paint, table } from '../terminal/table.ts';

export const objectivesCommand: CommandGroup = (context) => {
  const objectives = new Command('objectives').description('what can be minimised in training, and its settings');
  objectives
    .command('list')
    .description('every objective, and the techniques that go with any of them')
    .addHelpText('after', examples('jsigr objectives list', 'jsigr objectives list -o json'))
    .action(async (_: unknown, command: Command) => list(command.optsWithGlobals<GlobalOptions>(), context));
  objectives
    .command('show')
    .description('the settings of an objective: defaults, what is allowed, what they mean')
    .argument('<name>', 'e.g. jsigr')
    .addHelpText('after', examples('jsigr objectives show jsigr', 'jsigr objectives show trades -o json'))
    .action(async (name: string, _: unknown, command: Command) =>
      show(name, command.optsWithGlobals<GlobalOptions>(), context),
    );
  return objectives;
};

async function list(options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const response = await unary(session.training, 'listObjectives', {});
    outputOf(options, context).show(ListObjectivesResponse, response, (found) =>
      objectivesText(found, context.terminal.bold),
    );
  });
}

async function show(name: string, options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const { objectives } = await unary(session.training, 'listObjectives', {});
    const objective = objectives.find((each) => each.name === name);
    if (!objective) throw notFound('objective', name, `known: ${objectives.map((each) => each.name).join(', ')}`);
    outputOf(options, context).show(ListObjectivesResponse, { objectives: [objective], techniques: [] }, () =>
      objectiveText(objective, context.terminal.bold),
    );
  });
}

function objectivesText({ objectives, techniques }: ListObjectivesResponse, paint?: Paint): string {
  const rows = objectives.map(({ name, summary, source }) => [name, summary, source]);
  return [
    table([{ title: 'OBJECTIVE' }, { title: 'MINIMISES' }, { title: 'SOURCE' }], rows, paint),
    '\nWith any of them (--technique key=value):\n',
    settingsText(techniques, paint),
  ].join('');
}

function objectiveText({ name, summary, source, settings }: Objective, paint?: Paint): string {
  const head = `${name}: ${summary}\nsource: ${source}\n`;
  return settings.length > 0 ? `${head}\n${settingsText(settings, paint)}` : `${head}it has no settings\n`;
}

function settingsText(settings: readonly Setting[], paint?: Paint): string {
  return table(
    [{ title: 'SETTING' }, { title: 'DEFAULT' }, { title: 'ALLOWED' }, { title: 'MEANING' }],
    settings.map(({ name, defaultValue, allowed, description }) => [name, defaultValue || '-', allowed, description]),
    paint,
  );
}
