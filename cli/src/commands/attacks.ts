import type { Capability } from '@jsigr/attacks';
import { notFound } from '@jsigr/service/client';
import { Command } from 'commander';
import { type CommandGroup, examples, type GlobalOptions } from '../context.ts';
import { properties, table } from '../terminal/table.ts';

export const attacksCommand: CommandGroup = ({ terminal }) => {
  const group = new Command('attacks').description('what `evaluate` and `train` can attack with');
  group
    .command('list')
    .description('every attack: what it needs, its norms, what it costs')
    .addHelpText('after', examples('jsigr attacks list', 'jsigr attacks list -o json'))
    .action(async (_: unknown, command: Command) => {
      const all = await known();
      if (isJson(command)) terminal.out(`${JSON.stringify(all)}\n`);
      else terminal.out(capabilitiesText(all, terminal.bold));
    });
  group
    .command('show')
    .description('the settings of an attack: defaults, what is allowed, what they mean')
    .argument('<name>', 'e.g. pgd')
    .addHelpText('after', examples('jsigr attacks show apgd-t', 'jsigr attacks show pgd -o json'))
    .action(async (name: string, _: unknown, command: Command) => {
      const all = await known();
      const found = all.find((each) => each.name === name);
      if (!found) throw notFound('attack', name, `known: ${all.map((each) => each.name).join(', ')}`);
      terminal.out(isJson(command) ? `${JSON.stringify(found)}\n` : capabilityText(found, terminal.bold));
    });
  return group;
};

/** Loaded when it is needed: with the engine behind it, it takes longer than most commands. */
async function known(): Promise<readonly Capability[]> {
  return (await import('@jsigr/attacks')).capabilities();
}

function isJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().output === 'json';
}

/** A line for each attack. */
export function capabilitiesText(all: readonly Capability[], paint?: (text: string) => string): string {
  const columns = [
    { title: 'ATTACK' },
    { title: 'SEES' },
    { title: 'NORMS' },
    { title: 'TARGETED' },
    { title: 'LOOKS FOR' },
    { title: 'ATTEMPTS', align: 'right' as const },
    { title: 'FORWARDS', align: 'right' as const },
    { title: 'BACKWARDS', align: 'right' as const },
  ];
  const rows = all.map(({ name, access, norms, targeted, goal, attempts, cost }) => [
    name,
    access,
    norms.join(' '),
    targeted ? 'yes' : 'no',
    goal === 'radius' ? 'worst in ball' : 'nearest',
    String(attempts),
    String(cost.forwards),
    String(cost.backwards),
  ]);
  return table(columns, rows, paint);
}

/** One attack with its settings. */
export function capabilityText(capability: Capability, paint?: (text: string) => string): string {
  const { name, summary, access, norms, attempts, cost, settings } = capability;
  const head = properties([
    ['attack', name],
    ['what', summary],
    ['sees', access],
    ['norms', norms.join(', ')],
    ['cost', `${attempts} x (${cost.forwards} forwards, ${cost.backwards} backwards) a sample at most, by default`],
  ]);
  const rows = settings.map((setting) => [setting.name, setting.preset || '-', setting.description]);
  return `${head}\n${table([{ title: 'SETTING' }, { title: 'DEFAULT' }, { title: 'WHAT IT DOES' }], rows, paint)}`;
}
