// What the setup scripts share: they take native libraries out of wheels of PyPI, into folders of this project.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a person can mend: said without a stack trace. */
export class SetupError extends Error {}

export const root = fileURLToPath(new URL('..', import.meta.url));
export const python = process.env.PYTHON ?? 'python3';

/** Programs that must work before anything is downloaded, and what to do about one that does not. */
export const PYTHON_TOOLS = [
  [python, '-c "import zipfile"', 'install Python 3.9 or later, or name one by PYTHON'],
  [python, '-m pip --version', 'install pip for it (Debian: python3-pip)'],
] as const;

/** The wheels differ by Python version, but not what is in them for us. */
const WHEEL_OF = ['--python-version', '3.12', '--implementation', 'cp'];
const ABIS = ['cp312', 'none', 'abi3'];
const PLATFORMS = ['manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64'];

/** Runs a setup script: a SetupError is its message and exit code 1. */
export function runSetup(name: string, main: (options: readonly string[]) => void): void {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}

/** @throws SetupError if a program does not work */
export function checkTools(tools: readonly (readonly [command: string, argument: string, remedy: string])[]): void {
  for (const [command, argument, remedy] of tools)
    if (spawnSync(`${command} ${argument}`, { shell: true }).status !== 0)
      throw new SetupError(`\`${command} ${argument}\` does not work: ${remedy}`);
}

/** Wheels for Linux on x64, without what they depend on. @throws SetupError */
export function download(what: readonly string[], folder: string): void {
  console.log(`fetching ${what.join(' ')} from PyPI`);
  const platforms = PLATFORMS.flatMap((platform) => ['--platform', platform]);
  const abis = ABIS.flatMap((abi) => ['--abi', abi]);
  const options = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '-q', '-d', folder];
  run(python, ['-m', 'pip', 'download', ...options, ...WHEEL_OF, ...abis, ...platforms, ...what], root);
}

/** @throws SetupError */
export function runPython(program: string, values: readonly string[]): void {
  run(python, ['-c', program, ...values], root);
}

/** @throws SetupError if the command fails */
export function run(command: string, options: readonly string[], folder: string): void {
  const { status, error } = spawnSync(command, options, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0)
    throw new SetupError(
      `\`${command} ${options.slice(0, 4).join(' ')} ...\` failed${error ? ` (${error.message})` : ''}; what it said stands above`,
    );
}
