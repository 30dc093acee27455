import { Command } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { keepToken } from '../credentials.ts';

export const loginCommand: CommandGroup = (context) =>
  new Command('login')
    .description('keep the token for a gateway: of --token, else of JSIGR_TOKEN, else of standard input')
    .argument('<host:port>', 'the gateway, as --server will name it; context/NAME for that of --context NAME')
    .addHelpText(
      'after',
      examples('jsigr login gateway.example.com:7460 < token.txt', 'jsigr login context/prod < token.txt'),
    )
    .action(async (server: string, _: unknown, command: Command) =>
      login(server, command.optsWithGlobals<GlobalOptions>(), context),
    );

async function login(server: string, { token, output }: GlobalOptions, { terminal }: Context): Promise<void> {
  const given = token ?? (terminal.env.JSIGR_TOKEN || (await terminal.input()).trim());
  const file = await keepToken(server, given, terminal);
  terminal.out(output === 'json' ? `${JSON.stringify({ file })}\n` : `kept in ${file}\n`);
}
