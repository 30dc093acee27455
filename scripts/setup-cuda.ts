/**
 * `npm run setup:cuda`: makes the device `cuda` of the engine `onnx` ready. It takes ONNX Runtime's CUDA provider out of the wheel `onnxruntime-gpu` of the
 * same version, and the libraries of CUDA 13 and cuDNN 9 that it needs out of NVIDIA's wheels, into the folder `.cuda`; the provider is linked to where
 * ONNX Runtime looks for it, beside its library in node_modules. onnxruntime-node would download its provider in an install script, from a place that many
 * networks do not reach, and leave CUDA to the user.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { checkTools, download, PYTHON_TOOLS, root, runPython, runSetup, SetupError } from './wheels.ts';

/** CUDA 13.0 and a cuDNN that were tried together with it. Any driver from 580 on runs them. */
const LIBRARIES = [
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-nvrtc==13.0.88',
  'nvidia-cublas==13.1.0.3',
  'nvidia-curand==10.4.0.35',
  'nvidia-cudnn-cu13==9.19.0.56',
];
const PROVIDERS = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];

const home = join(root, '.cuda');
const libraries = join(home, 'lib');
const node = join(root, 'node_modules/onnxruntime-node');

runSetup('setup:cuda', main);

function main(options: readonly string[]): void {
  if (options.length > 0) throw new SetupError(`there is no option ${options[0]}; there are none`);
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new SetupError(
      `ONNX Runtime's CUDA provider is for Linux on x64, and this is ${process.platform} on ${process.arch}`,
    );
  if (!existsSync(node)) throw new SetupError('onnxruntime-node is not installed: run `npm ci` first');
  const { version } = JSON.parse(readFileSync(join(node, 'package.json'), 'utf8')) as { version: string };
  const mark = join(libraries, `onnxruntime-${version}`);
  if (!existsSync(mark)) {
    checkTools(PYTHON_TOOLS);
    fetchLibraries(version);
  }
  linkProviders();
  console.log(`CUDA is ready for ONNX Runtime ${version}: --device cuda takes it (${libraries})`);
}

/** All or nothing: the folder takes its name when everything is in it. */
function fetchLibraries(version: string): void {
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, 'fetch-'));
  try {
    const wheels = join(work, 'wheels');
    download([`onnxruntime-gpu==${version}`, ...LIBRARIES], wheels);
    const folder = join(work, 'lib');
    mkdirSync(folder);
    runPython(
      `
import glob, os, shutil, sys, zipfile
wheels, folder, providers = sys.argv[1], sys.argv[2], sys.argv[3:]
for path in glob.glob(os.path.join(wheels, '*.whl')):
    archive = zipfile.ZipFile(path)
    for name in archive.namelist():
        file = os.path.basename(name)
        if file in providers or ('nvidia/' in name and '/lib/' in name and '.so' in file):
            with archive.open(name) as source, open(os.path.join(folder, file), 'wb') as target:
                shutil.copyfileobj(source, target)
`,
      [wheels, folder, ...PROVIDERS],
    );
    const missing = PROVIDERS.filter((name) => !readdirSync(folder).includes(name));
    if (missing.length > 0) throw new SetupError(`the wheel onnxruntime-gpu ${version} has no ${missing.join(', ')}`);
    mkdirSync(join(folder, `onnxruntime-${version}`)); // marks what this is for
    rmSync(libraries, { recursive: true, force: true });
    renameSync(folder, libraries);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function linkProviders(): void {
  const folder = join(node, 'bin/napi-v6/linux/x64');
  for (const name of PROVIDERS) {
    rmSync(join(folder, name), { force: true });
    symlinkSync(join(libraries, name), join(folder, name));
  }
}
