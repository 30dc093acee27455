import { Command, Option } from 'commander';
import { type CommandGroup, type Context, dataDirectory, examples, type GlobalOptions, pathOf } from '../context.ts';
import { integer } from '../options.ts';
import { properties, table } from '../terminal/table.ts';

interface TokensOptions extends GlobalOptions {
  readonly file?: string;
}
interface CreateOptions extends TokensOptions {
  readonly role: 'viewer' | 'runner' | 'admin';
  readonly tenant: string;
  readonly days?: number;
}

export const tokensCommand: CommandGroup = (context) => {
  const tokens = new Command('tokens').description('who may use the gateway of a data directory');
  const file = () => new Option('--file <path>', 'file of tokens (default: tokens.json in the data directory)');
  tokens
    .command('create')
    .description('make a token; it is shown once, and kept as a hash only. From the first on everybody needs one')
    .argument('<name>', 'whose it is, for the audit log')
    .addOption(
      new Option('--role <role>', 'viewer: sees; runner: starts and cancels too; admin: everything, of all tenants')
        .choices(['viewer', 'runner', 'admin'])
        .default('runner'),
    )
    .option('--tenant <name>', 'whose runs and models it sees', 'default')
    .addOption(new Option('--days <number>', 'how long it is good; for ever unless told').argParser(integer(1)))
    .addOption(file())
    .addHelpText('after', examples('jsigr tokens create alice --role admin', 'jsigr tokens create ci --days 90'))
    .action(async (name: string, _: unknown, command: Command) =>
      create(name, command.optsWithGlobals<CreateOptions>(), context),
    );
  tokens
    .command('list')
    .description('every token, without its secret')
    .addOption(file())
    .addHelpText('after', examples('jsigr tokens list', 'jsigr tokens list -o json'))
    .action(async (_: unknown, command: Command) => list(command.optsWithGlobals<TokensOptions>(), context));
  tokens
    .command('revoke')
    .description('make a token useless, at once')
    .argument('<id>', 'as `jsigr tokens list` shows it')
    .addOption(file())
    .addHelpText('after', examples('jsigr tokens revoke 1f3a9c2e'))
    .action(async (id: string, _: unknown, command: Command) =>
      revoke(id, command.optsWithGlobals<TokensOptions>(), context),
    );
  return tokens;
};

/** The file itself, not a gateway: the first token must come from somewhere. */
async function tokenFile(options: TokensOptions, { terminal }: Context) {
  const { TokenFile, tokensFile } = await import('@jsigr/gateway/tokens');
  const file = options.file === undefined ? undefined : pathOf(options.file, terminal);
  return new TokenFile(file ?? tokensFile(dataDirectory(options, terminal)));
}

async function create(name: string, options: CreateOptions, context: Context): Promise<void> {
  const { role, tenant, days } = options;
  const { token, entry } = await (await tokenFile(options, context)).create({
    name,
    role,
    tenant,
    ...(days ? { days } : {}),
  });
  const { id, expireTime } = entry;
  const { out } = context.terminal;
  if (options.output === 'json') out(`${JSON.stringify({ id, name, role, tenant, expireTime, token })}\n`);
  else
    out(
      properties([
        ['token', token],
        ['id', id],
        ['role', `${role} of ${tenant}`],
        ['expires', expireTime ?? 'never'],
      ]),
    );
}

async function list(options: TokensOptions, context: Context): Promise<void> {
  const entries = await (await tokenFile(options, context)).list();
  const { out, bold } = context.terminal;
  if (options.output === 'json') {
    out(`${JSON.stringify(entries.map(({ sha256, ...entry }) => entry))}\n`);
    return;
  }
  const columns = ['ID', 'NAME', 'ROLE', 'TENANT', 'CREATED', 'EXPIRES'].map((title) => ({ title }));
  const rows = entries.map((entry) => [
    entry.id,
    entry.name,
    entry.role,
    entry.tenant,
    entry.createTime.slice(0, 10),
    entry.expireTime?.slice(0, 10) ?? 'never',
  ]);
  out(table(columns, rows, bold));
}

async function revoke(id: string, options: TokensOptions, context: Context): Promise<void> {
  await (await tokenFile(options, context)).revoke(id);
  context.terminal.out(options.output === 'json' ? `${JSON.stringify({ id })}\n` : `revoked ${id}\n`);
}
