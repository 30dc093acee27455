import { Command, Option } from 'commander';
import { type CommandGroup, type Context, computeOf, dataDirectory, examples, type GlobalOptions } from '../context.ts';
import { port } from '../options.ts';
import { urlOf } from '../terminal/format.ts';

interface UpOptions extends GlobalOptions {
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
}

export const upCommand: CommandGroup = (context) =>
  new Command('up')
    .description('run a gateway until Ctrl-C; other commands on the same data directory join it')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .addOption(new Option('--port <number>', 'port of gRPC; 0: any free one').argParser(port).default(7460))
    .addOption(
      new Option('--http-port <number>', 'port of HTTP and JSON; 0: any free one').argParser(port).default(7461),
    )
    .addHelpText(
      'after',
      examples('jsigr up', 'jsigr up --port 0 --http-port 0 --data-dir /srv/jsigr', 'jsigr up --device cuda'),
    )
    .action(async (_: unknown, command: Command) => up(command.optsWithGlobals<UpOptions>(), context));

async function up(options: UpOptions, { terminal, gateways }: Context): Promise<void> {
  const directory = dataDirectory(options, terminal);
  const gateway = await gateways.start({
    dataDirectory: directory,
    host: options.host,
    grpcPort: options.port,
    httpPort: options.httpPort,
    ...computeOf(options, terminal),
  });
  const { grpcAddress, httpAddress } = gateway;
  if (options.output === 'json')
    terminal.out(`${JSON.stringify({ grpcAddress, httpAddress, dataDirectory: directory })}\n`);
  else
    terminal.out(
      [
        ...(httpAddress ? [`HTTP       ${urlOf(httpAddress)}`] : []),
        `gRPC       ${grpcAddress}`,
        `data       ${directory}`,
        'Ctrl-C ends it; runs that are not finished stop with it.',
        '',
      ].join('\n'),
    );
  await interrupted(terminal);
  await gateway.close();
}

function interrupted({ onInterrupt }: Context['terminal']): Promise<void> {
  return new Promise((resolve) => {
    const release = onInterrupt(() => {
      release();
      resolve();
    });
  });
}
