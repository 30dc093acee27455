import { listFromText, type TlsFiles } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import {
  type CommandGroup,
  type Context,
  computeOf,
  dataDirectory,
  examples,
  type GlobalOptions,
  pathOf,
  tlsOf,
} from '../context.ts';
import { port, setting } from '../options.ts';
import { urlOf } from '../terminal/format.ts';

interface UpOptions extends GlobalOptions {
  readonly host?: string;
  readonly port?: number;
  readonly httpPort?: number;
  readonly config?: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly allowEndpoints?: string;
  readonly tlsClientCa?: string;
}

export const upCommand: CommandGroup = (context) =>
  new Command('up')
    .description('run a gateway until Ctrl-C; other commands on the same data directory join it')
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .addOption(new Option('--port <number>', 'port of gRPC; 0: any free one (default: 7460)').argParser(port))
    .addOption(
      new Option('--http-port <number>', 'port of HTTP and JSON; 0: any free one (default: 7461)').argParser(port),
    )
    .option(
      '--allow-endpoints <networks>',
      'private networks in which live endpoints may be attacked, e.g. 127.0.0.0/8,10.1.0.0/16 (JSIGR_ENDPOINT_NETWORKS)',
    )
    .option('--config <file>', 'file of settings; docs/configuration.md has all (JSIGR_CONFIG)')
    .option('--set <name=value>', 'any other setting, e.g. leaseSeconds=10; repeat for more', setting)
    .option('--tls-client-ca <file>', 'authorities of clients, who must show a certificate then (JSIGR_TLS_CLIENT_CA)')
    .addHelpText(
      'after',
      examples(
        'jsigr up',
        'jsigr up --port 0 --http-port 0 --data-dir /srv/jsigr',
        'jsigr up --device cuda',
        'jsigr up --set limits.activeRuns=4',
      ),
    )
    .action(async (_: unknown, command: Command) => up(command.optsWithGlobals<UpOptions>(), context));

async function up(options: UpOptions, { terminal, gateways }: Context): Promise<void> {
  const directory = dataDirectory(options, terminal);
  const gateway = await gateways.start({
    dataDirectory: directory,
    host: options.host,
    grpcPort: options.port,
    httpPort: options.httpPort,
    config: options.config === undefined ? undefined : pathOf(options.config, terminal),
    settings: options.set,
    ...tlsFiles(options, terminal),
    ...(options.allowEndpoints && { endpointNetworks: listFromText(options.allowEndpoints) }),
    ...computeOf(options, terminal),
  });
  // Before anybody is told: whoever reads the addresses may end it at once.
  const interruption = interrupted(terminal);
  const { grpcAddress, httpAddress, tls } = gateway;
  if (options.output === 'json')
    terminal.out(`${JSON.stringify({ grpcAddress, httpAddress, dataDirectory: directory })}\n`);
  else
    terminal.out(
      [
        ...(httpAddress ? [`HTTP       ${urlOf(tls ? `https://${httpAddress}` : httpAddress)}`] : []),
        `gRPC       ${grpcAddress}`,
        `data       ${directory}`,
        'Ctrl-C ends it; runs that are not finished go on with the next one.',
        '',
      ].join('\n'),
    );
  await interruption;
  await gateway.close();
}

function tlsFiles(options: UpOptions, terminal: Context['terminal']): { tls?: TlsFiles } {
  const { tlsClientCa } = options;
  const clientCa = tlsClientCa ? pathOf(tlsClientCa, terminal) : terminal.env.JSIGR_TLS_CLIENT_CA || undefined;
  const files = tlsOf(options, terminal);
  return files || clientCa ? { tls: { ...files, ...(clientCa ? { clientCa } : {}) } } : {};
}

function interrupted({ onInterrupt }: Context['terminal']): Promise<void> {
  return new Promise((resolve) => {
    const release = onInterrupt(() => {
      release();
      resolve();
    });
  });
}
