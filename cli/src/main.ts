import { installedGateway } from './gateways.ts';
import { runCommandLine } from './program.ts';
import { processTerminal } from './terminal/terminal.ts';

// A reader that leaves early (`jsigr runs list | head`) is no error; a full disk below `> results.json` is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`jsigr: standard output cannot be written: ${error.message}\n`);
  process.exit(1);
});
// Whoever hears no complaints misses no results.
process.stderr.on('error', () => {});

const code = await runCommandLine(process.argv.slice(2), {
  terminal: processTerminal(),
  gateways: installedGateway,
});
// Everything that was started is closed by now; what was written must still arrive. What cannot is an error, which ends the process above.
process.stdout.write('', (error) => error ?? process.exit(code));
