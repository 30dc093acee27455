import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../cli/bin/jsigr.js', import.meta.url));

/**
 * A command line as a user runs it, from `dist`.
 * @param environment variables besides those of this process
 * @returns its standard output
 * @throws with its standard error if it fails
 */
export function jsigr(line: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...environment } };
    execFile(process.execPath, [cli, ...line], options, (error, out, err) => {
      if (error) reject(new Error(`jsigr ${line.join(' ')}: ${err || error.message}`));
      else resolve(out);
    });
  });
}
