import { installedGateway } from './gateways.ts';
import { runCommandLine } from './program.ts';
import { processTerminal } from './terminal/terminal.ts';

// A reader that leaves early (`jsigr runs list | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await runCommandLine(process.argv.slice(2), {
  terminal: processTerminal(),
  gateways: installedGateway,
});
// Everything that was started is closed by now; what was written must still arrive.
process.stdout.write('', () => process.exit(code));
