/**
 * `npm run setup:tensorflow [-- --gpu]`: makes the engine `tensorflow` ready in the folder `.tensorflow`, and touches nothing outside it.
 * It builds tfjs-node's add-on against the C library inside the TensorFlow wheel of PyPI, because the C library that tfjs-node would download itself
 * is years older (2.9), and from a place that many networks do not reach.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { checkTools, download, PYTHON_TOOLS, python, root, run, runPython, runSetup, SetupError } from './wheels.ts';

/** Versions that were tried together; the add-on's sources have built with the wheels of 2.12 to 2.21. */
const TFJS_VERSION = '4.22.0';
const TENSORFLOW_VERSION = '2.21.0';

const FLAVOURS = {
  cpu: { addon: '@tensorflow/tfjs-node', wheel: 'tensorflow-cpu', extra: undefined },
  gpu: { addon: '@tensorflow/tfjs-node-gpu', wheel: 'tensorflow', extra: 'and-cuda' },
} as const;

const NODE_API = '8';

const home = join(root, '.tensorflow');

runSetup('setup:tensorflow', main);

function main(options: readonly string[]): void {
  const unknown = options.find((option) => option !== '--gpu');
  if (unknown) throw new SetupError(`there is no option ${unknown}; --gpu is all there is`);
  const flavour = FLAVOURS[options.includes('--gpu') ? 'gpu' : 'cpu'];
  const target = join(home, 'node_modules', flavour.addon);
  if (existsSync(target) && versionOf(target) === TENSORFLOW_VERSION) {
    console.log(`${flavour.addon} with TensorFlow ${TENSORFLOW_VERSION} is there already: ${target}`);
    return;
  }
  const tools = findTools();
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(join(home, 'build-'));
  try {
    const folder = fetchAddon(flavour.addon, tools.npm, work);
    fetchLibrary(flavour.wheel, flavour.extra, folder, work);
    build(folder, tools);
    rmSync(target, { recursive: true, force: true });
    renameSync(folder, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const version = versionOf(target);
  if (version !== TENSORFLOW_VERSION)
    throw new SetupError(
      `the add-on was built, but says ${version ?? 'nothing'} where ${TENSORFLOW_VERSION} was expected`,
    );
  console.log(`TensorFlow ${version} is ready: JSIGR_ENGINE=tensorflow takes it (${target})`);
}

interface Tools {
  readonly npm: string;
  readonly nodeGyp: string;
  /** The folder whose include/node holds the headers of this Node. */
  readonly headers: string;
}

/** All that is needed, before anything is downloaded. */
function findTools(): Tools {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new SetupError(
      `it knows Linux on x64 only, and this is ${process.platform} on ${process.arch}: install @tensorflow/tfjs-node by npm ` +
        '(with its install script), and the engine finds it',
    );
  const npm = process.env.npm_execpath;
  if (!npm) throw new SetupError('start it by `npm run setup:tensorflow`: it uses the npm that started it');
  const nodeGyp = join(dirname(realpathSync(npm)), '../node_modules/node-gyp/bin/node-gyp.js');
  if (!existsSync(nodeGyp)) throw new SetupError(`this npm brings no node-gyp (${nodeGyp}): use npm 8 or later`);
  const headers = join(dirname(realpathSync(process.execPath)), '..');
  if (!existsSync(join(headers, 'include/node/node_api.h')))
    throw new SetupError(
      `the headers of Node are missing (${headers}/include/node/node_api.h): run \`npm ci\`, which brings a Node with headers, ` +
        'or install those of your Node (Debian: libnode-dev)',
    );
  checkTools([
    ...PYTHON_TOOLS,
    ['g++', '--version', 'install a C++17 compiler (Debian: g++)'],
    ['make', '--version', 'install make'],
    ['tar', '--version', 'install tar'],
  ]);
  return { npm, nodeGyp, headers };
}

/** The package without what it depends on, since the engine only uses its add-on, and without its install script. */
function fetchAddon(name: string, npm: string, work: string): string {
  console.log(`fetching ${name} ${TFJS_VERSION}`);
  run(process.execPath, [npm, 'pack', `${name}@${TFJS_VERSION}`, '--pack-destination', work, '--silent'], work);
  const archive = readdirSync(work).find((file) => file.endsWith('.tgz'));
  if (!archive) throw new SetupError(`npm gave no archive of ${name}`);
  run('tar', ['-xzf', archive], work);
  return join(work, 'package');
}

/** The C library of a TensorFlow wheel, its headers, and for a GPU the CUDA libraries that the wheel asks for. */
function fetchLibrary(wheel: string, extra: string | undefined, folder: string, work: string): void {
  const wheels = join(work, 'wheels');
  download([`${wheel}==${TENSORFLOW_VERSION}`], wheels);
  const library = join(folder, 'deps/lib');
  runPython(
    `
import glob, os, re, shutil, sys, zipfile
wheels, folder, extra = sys.argv[1:]
archive = zipfile.ZipFile(glob.glob(os.path.join(wheels, 'tensorflow*.whl'))[0])
for name in archive.namelist():
    if name.startswith('tensorflow/include/') or name.startswith('tensorflow/libtensorflow'):
        archive.extract(name, folder)
os.makedirs(os.path.join(folder, 'deps'))
os.rename(os.path.join(folder, 'tensorflow/include'), os.path.join(folder, 'deps/include'))
os.rename(os.path.join(folder, 'tensorflow'), os.path.join(folder, 'deps/lib'))
metadata = archive.read(next(n for n in archive.namelist() if n.endswith('.dist-info/METADATA'))).decode()
with open(os.path.join(wheels, 'more.txt'), 'w') as file:
    for line in re.findall(r'^Requires-Dist: (.*)$', metadata, re.M) if extra else []:
        requirement, _, marker = line.partition(';')
        if re.search(r"extra == ['\\"]%s['\\"]" % extra, marker):
            file.write(requirement.strip() + '\\n')
`,
    [wheels, folder, extra ?? ''],
  );
  for (const name of ['cc', 'framework']) {
    if (!existsSync(join(library, `libtensorflow_${name}.so.2`)))
      throw new SetupError(`the wheel ${wheel} ${TENSORFLOW_VERSION} has no libtensorflow_${name}.so.2`);
    // for the linker only: the add-on remembers the numbered names
    symlinkSync(
      `libtensorflow_${name}.so.2`,
      join(library, name === 'cc' ? 'libtensorflow.so' : 'libtensorflow_framework.so'),
    );
  }
  if (!extra) return;
  download(['-r', join(wheels, 'more.txt')], wheels);
  // beside TensorFlow's own library, which is where it looks first
  runPython(
    `
import glob, os, shutil, sys, zipfile
wheels, library = sys.argv[1:]
for path in glob.glob(os.path.join(wheels, 'nvidia*.whl')):
    archive = zipfile.ZipFile(path)
    for name in archive.namelist():
        if '/lib/' in name and '.so' in os.path.basename(name):
            with archive.open(name) as source, open(os.path.join(library, os.path.basename(name)), 'wb') as target:
                shutil.copyfileobj(source, target)
`,
    [wheels, library],
  );
}

function build(folder: string, { nodeGyp, headers }: Tools): void {
  console.log('building the add-on');
  const variables = [
    '--module_name=tfjs_binding',
    `--module_path=${join(folder, 'lib', `napi-v${NODE_API}`)}`,
    `--napi_build_version=${NODE_API}`,
  ];
  run(
    process.execPath,
    [nodeGyp, 'rebuild', '--silent', `--nodedir=${headers}`, `--python=${python}`, ...variables],
    folder,
  );
  // 300 MB that only the compiler needed
  for (const done of ['build', 'deps/include']) rmSync(join(folder, done), { recursive: true, force: true });
}

/** The version of TensorFlow that the add-on loads, in a process of its own; `undefined` if it does not load. */
function versionOf(folder: string): string | undefined {
  const file = join(folder, 'lib', `napi-v${NODE_API}`, 'tfjs_binding.node');
  const program = `console.log(require(${JSON.stringify(file)}).TF_Version)`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', program], {
    encoding: 'utf8',
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3' },
  });
  if (status !== 0) console.error(stderr);
  return status === 0 ? stdout.trim() : undefined;
}
