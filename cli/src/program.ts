import { status } from '@grpc/grpc-js';
import { DEVICE_CHOICES, ENGINE_CHOICES, exitCodeOf, JsigrError } from '@jsigr/service/client';
import { Command, CommanderError, Option } from 'commander';
import { attacksCommand } from './commands/attacks.ts';
import { compareCommand } from './commands/compare.ts';
import { configCommand } from './commands/config.ts';
import { datasetsCommand } from './commands/datasets.ts';
import { demoCommand } from './commands/demo.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { explainCommand } from './commands/explain.ts';
import { gcCommand } from './commands/gc.ts';
import { loginCommand } from './commands/login.ts';
import { modelsCommand } from './commands/models.ts';
import { objectivesCommand } from './commands/objectives.ts';
import { reproduceCommand } from './commands/reproduce.ts';
import { runsCommand } from './commands/runs.ts';
import { sweepCommand } from './commands/sweep.ts';
import { tokensCommand } from './commands/tokens.ts';
import { trainCommand } from './commands/train.ts';
import { transferMatrixCommand } from './commands/transfer-matrix.ts';
import { upCommand } from './commands/up.ts';
import { type CommandGroup, type Context, examples } from './context.ts';
import { version } from './version.ts';

/** Every command. To add one: its file, and its line here. */
const commands: readonly CommandGroup[] = [
  upCommand,
  trainCommand,
  sweepCommand,
  reproduceCommand,
  evaluateCommand,
  transferMatrixCommand,
  compareCommand,
  attacksCommand,
  explainCommand,
  runsCommand,
  modelsCommand,
  objectivesCommand,
  datasetsCommand,
  gcCommand,
  tokensCommand,
  loginCommand,
  configCommand,
  demoCommand,
];

const USAGE_ERROR = 2;

const NO_GATEWAY_HINT = 'is a gateway running there? `jsigr up` starts one';

const EXIT_CODES = `
Exit codes:
  0  done                          4  not possible in this state
  1  failed                        5  the gateway cannot be reached
  2  wrong usage or bad settings   6  not allowed
  3  not found                     130  cancelled`;

/**
 * Runs one command line (without `node` and the script).
 * @returns its exit code; errors are said on standard error, in one sentence and without a stack trace unless JSIGR_DEBUG is set.
 */
export async function runCommandLine(line: readonly string[], context: Context): Promise<number> {
  const { terminal } = context;
  try {
    // Without a command: the help, as an answer and not as a mistake.
    await programOf(context).parseAsync(line.length > 0 ? [...line] : ['--help'], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR;
    terminal.err(errorText(error, Boolean(terminal.env.JSIGR_DEBUG)));
    return exitCodeOf(error);
  }
}

function programOf(context: Context): Command {
  const program = new Command('jsigr')
    .description(
      'train image classifiers that resist adversarial examples, attack them while they train, explain what they predict',
    )
    .version(version)
    .option('--server <host:port>', 'use this gateway instead of one on the data directory')
    .option('--context <name>', 'use the gateway in the cluster of this context of your kubeconfig (a port-forward)')
    .option('--namespace <name>', 'its namespace (default: that of the context, else jsigr)')
    .option(
      '--data-dir <path>',
      'where runs, models and datasets are kept (default: JSIGR_DATA, else .jsigr in this folder)',
    )
    .option('--token <token>', 'what the gateway knows you by (better: JSIGR_TOKEN, or once `jsigr login`)')
    .option('--tls', 'encrypt the connection, and believe the authorities of the system')
    .option('--tls-ca <file>', 'encrypt, and believe these authorities alone (JSIGR_TLS_CA)')
    .option('--tls-certificate <file>', 'certificate for a gateway that asks for one (JSIGR_TLS_CERTIFICATE)')
    .option('--tls-key <file>', 'its key (JSIGR_TLS_KEY)')
    .option(
      '--tls-server-name <name>',
      'name in the certificate of the gateway, if not that of --server (JSIGR_TLS_SERVER_NAME)',
    )
    .addOption(
      new Option('--engine <name>', 'what computes, in a gateway that this command starts').choices(ENGINE_CHOICES),
    )
    .addOption(
      new Option('--device <name>', 'where it computes; auto is cuda if that works, else cpu').choices(DEVICE_CHOICES),
    )
    .addOption(
      new Option('-o, --output <format>', 'how results are written').choices(['table', 'json']).default('table'),
    )
    .addHelpText('after', examples('jsigr demo', 'jsigr train --objective jsigr', 'jsigr evaluate trainingRuns/ID'))
    .addHelpText('after', EXIT_CODES);
  for (const group of commands) program.addCommand(group(context));
  configure(program, context);
  return program;
}

// Commands made apart from the program do not inherit its settings.
function configure(command: Command, context: Context): void {
  const { terminal } = context;
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      outputError: (text, write) => write(`jsigr: ${text.replace(/^error: /, '')}`),
    })
    .showHelpAfterError('hint: add --help for what is allowed, with examples');
  for (const child of command.commands) configure(child, context);
}

/** One error for people: message, fields, hint; the stack and its causes only on demand. */
export function errorText(thrown: unknown, debug: boolean): string {
  const error = JsigrError.from(thrown);
  const [first, ...rest] = error.violations;
  // The message repeats the violations; where there are several, one line each reads better.
  const message = rest.length > 0 ? 'the request was refused' : error.message;
  const fields =
    rest.length > 0 && first ? [first, ...rest].map(({ field, description }) => `  ${field}: ${description}`) : [];
  const lines = [`jsigr: ${message}`, ...fields];
  const hint = error.hint ?? (error.code === status.UNAVAILABLE ? NO_GATEWAY_HINT : undefined);
  if (hint) lines.push(`hint: ${hint}`);
  if (debug)
    lines.push(error.stack ?? '', ...(error.cause === undefined ? [] : [`caused by: ${inspectCause(error.cause)}`]));
  // it may repeat names of a file, which may hold what a terminal obeys
  return `${lines.join('\n').replaceAll(/[^\P{Cc}\n\t]/gu, '?')}\n`;
}

function inspectCause(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
