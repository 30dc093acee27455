/**
 * `node scripts/pack-image.ts FOLDER WORKSPACE...`: what an image needs to run these workspaces, from a checkout that is built: their compiled files, those of the
 * workspaces that they depend on, and the dependencies that the lock file names for them, without those of other platforms. k8s/images/Dockerfile uses it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  readonly name: string;
  readonly workspaces?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
/** Besides `dist`, which tests are no part of. */
const FILES = ['package.json', 'bin', 'seed', '**/*.proto', 'src/generated/*.binpb'];
/** Folders of binaries for several platforms, and which of them is for this one. */
const binaries: readonly (readonly [folder: string, own: string])[] = [
  ['node_modules/onnxruntime-node/bin/napi-v6', process.platform],
  [`node_modules/onnxruntime-node/bin/napi-v6/${process.platform}`, process.arch],
];

main(process.argv.slice(2));

function main([target, ...wanted]: readonly string[]): void {
  if (!target || wanted.length === 0) throw new Error('usage: node scripts/pack-image.ts FOLDER WORKSPACE...');
  if (existsSync(target) && readdirSync(target).length > 0) throw new Error(`${target} is not empty`);
  const all = workspaces();
  const packed = closure(wanted, all);
  mkdirSync(target, { recursive: true });
  // npm wants to see all workspaces that the lock file knows, and installs those that are wanted.
  for (const file of ['package.json', 'package-lock.json', '.npmrc', ...all.values()])
    copy(file.endsWith('json') || file === '.npmrc' ? file : `${file}/package.json`, target);
  // What was just fetched for the build is in npm's cache; the lock file says whether it is the right thing.
  const options = [
    '--omit=dev',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    ...wanted.map((name) => `--workspace=${name}`),
  ];
  run('npm', ['ci', ...options], target);
  for (const folder of all.values()) if (!packed.includes(folder)) rmSync(join(target, folder), { recursive: true });
  for (const folder of packed) {
    if (!existsSync(join(root, folder, 'dist'))) throw new Error(`${folder} is not built: run \`npm run build\` first`);
    const compiled = globSync('dist/**/*.js', { cwd: join(root, folder), exclude: (name) => /\.test\.js$/.test(name) });
    const others = FILES.flatMap((pattern) => globSync(pattern, { cwd: join(root, folder) }));
    for (const file of [...compiled, ...others]) copy(`${folder}/${file}`, target);
  }
  for (const [folder, own] of binaries)
    for (const name of existsSync(join(target, folder)) ? readdirSync(join(target, folder)) : [])
      if (name !== own) rmSync(join(target, folder, name), { recursive: true });
}

/** Folders by name. */
function workspaces(): Map<string, string> {
  const patterns = manifest('.').workspaces ?? [];
  const folders = patterns.flatMap((pattern) => globSync(`${pattern}/package.json`, { cwd: root })).map(dirname);
  return new Map(folders.sort().map((folder) => [manifest(folder).name, folder]));
}

/** Folders of these workspaces and of all that they depend on. */
function closure(names: readonly string[], all: ReadonlyMap<string, string>): string[] {
  const found = new Set<string>();
  const visit = (name: string) => {
    const folder = all.get(name);
    if (!folder || found.has(folder)) return;
    found.add(folder);
    for (const dependency of Object.keys(manifest(folder).dependencies ?? {})) visit(dependency);
  };
  for (const name of names) {
    if (!all.has(name)) throw new Error(`there is no workspace ${name}; there are ${[...all.keys()].join(', ')}`);
    visit(name);
  }
  return [...found];
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}

function copy(file: string, target: string): void {
  cpSync(join(root, file), join(target, file), { recursive: true });
}

function run(command: string, options: readonly string[], folder: string): void {
  const { status, error } = spawnSync(command, options, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`\`${command} ${options.join(' ')}\` failed${error ? `: ${error.message}` : ''}`);
}
