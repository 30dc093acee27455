import { Command } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { setting } from '../options.ts';

interface ConfigOptions extends GlobalOptions {
  readonly config?: string;
  readonly set?: Readonly<Record<string, string>>;
}

export const configCommand: CommandGroup = (context) => {
  const config = new Command('config').description('settings of a gateway');
  config
    .command('check')
    .description(
      'what is wrong with the settings of a file, the environment and the command; what a gateway would take from them',
    )
    .option('--config <file>', 'file of settings; docs/configuration.md has all (JSIGR_CONFIG)')
    .option('--set <name=value>', 'a setting of the command; repeat for more', setting)
    .addHelpText('after', examples('jsigr config check --config jsigr.yaml'))
    .action(async (_: unknown, command: Command) => check(command.optsWithGlobals<ConfigOptions>(), context));
  return config;
};

async function check({ config, set }: ConfigOptions, { terminal }: Context): Promise<void> {
  const { readConfig, settingsOf, shownConfig } = await import('@jsigr/gateway/config');
  const file = config === undefined ? undefined : pathOf(config, terminal);
  const found = await readConfig({ environment: terminal.env, file, given: set });
  // What does not go together, as a gateway that starts with them would say.
  settingsOf({ dataDirectory: '.', ...found });
  terminal.out(`${JSON.stringify(shownConfig(found), undefined, 2)}\n`);
}
