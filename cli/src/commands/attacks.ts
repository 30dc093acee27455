import type { Capability } from '@jsigr/attacks';
import { Command } from 'commander';
import { type CommandGroup, examples, type GlobalOptions } from '../context.ts';
import { properties, table } from '../terminal/table.ts';

export const attacksCommand: CommandGroup = ({ terminal }) => {
  const group = new Command('attacks').description('what `evaluate` and `train` can attack with');
  group
    .command('list', { isDefault: true })
    .description('every attack: what it needs, its norms, what it costs')
    .argument('[name]', 'one attack, with its settings')
    .addHelpText('after', examples('jsigr attacks list', 'jsigr attacks list apgd-t', 'jsigr attacks list -o json'))
    .action(async (name: string | undefined, _: unknown, command: Command) => {
      const { output } = command.optsWithGlobals<GlobalOptions>();
      // Loaded when it is needed: with the engine behind it, it takes longer than most commands.
      const { attackNamed, capabilities } = await import('@jsigr/attacks');
      const all = capabilities();
      const chosen = name === undefined ? all : all.filter((each) => each.name === attackNamed(name, 'name').name);
      if (output === 'json') terminal.out(`${JSON.stringify(chosen)}\n`);
      else if (name === undefined) terminal.out(capabilitiesText(chosen, terminal.bold));
      else for (const each of chosen) terminal.out(capabilityText(each, terminal.bold));
    });
  return group;
};

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
