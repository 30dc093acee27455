import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const scripts = fileURLToPath(new URL('../scripts', import.meta.url));
const PROVIDERS = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];

/** A project of its own with an onnxruntime-node, and a Python whose pip "downloads" what a case gives it. */
let root: string;
let binaries: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'jsigr-setup-cuda-'));
  mkdirSync(join(root, 'scripts'));
  for (const file of ['setup-cuda.ts', 'wheels.ts']) copyFileSync(join(scripts, file), join(root, 'scripts', file));
  binaries = join(root, 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64');
  mkdirSync(binaries, { recursive: true });
  writeFileSync(join(root, 'node_modules/onnxruntime-node/package.json'), '{ "version": "1.2.3" }');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Writes a wheel with these files instead of downloading; everything else is the real Python. */
const pip = (files: readonly string[]) => `#!/bin/sh
case "$*" in
*"pip download"*)
  while [ "$1" != -d ]; do shift; done
  mkdir -p "$2" && exec python3 -c "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + '/onnxruntime_gpu.whl', 'w') as wheel:
    for name in sys.argv[2:]: wheel.writestr('onnxruntime/capi/' + name, name)
" "$2" ${files.join(' ')} ;;
*"pip --version"*) exit 0 ;;
*) exec python3 "$@" ;;
esac
`;

function setup(files: readonly string[], options: readonly string[] = []) {
  const python = join(root, 'python');
  writeFileSync(python, pip(files), { mode: 0o755 });
  return spawnSync(process.execPath, ['--no-warnings', join(root, 'scripts/setup-cuda.ts'), ...options], {
    encoding: 'utf8',
    env: { ...process.env, PYTHON: python },
  });
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('npm run setup:cuda', () => {
  it('takes the providers out of the wheel of the same version, and links them to where ONNX Runtime looks', () => {
    const { status, stdout } = setup(['unused.so', ...PROVIDERS]);
    expect(stdout).toContain('fetching onnxruntime-gpu==1.2.3 ');
    expect(status).toBe(0);
    expect(readdirSync(join(root, '.cuda'))).toEqual(['lib']);
    expect(readdirSync(join(root, '.cuda/lib')).sort()).toEqual([...PROVIDERS, 'onnxruntime-1.2.3']);
    for (const name of PROVIDERS) expect(readlinkSync(join(binaries, name))).toBe(join(root, '.cuda/lib', name));
    expect(setup([]).stdout).not.toContain('fetching'); // it is there already
  });

  it('says what a wheel lacks, and leaves nothing behind', () => {
    const { status, stderr } = setup([PROVIDERS[1] ?? '']);
    expect(stderr).toContain('setup:cuda: the wheel onnxruntime-gpu 1.2.3 has no libonnxruntime_providers_cuda.so');
    expect(status).toBe(1);
    expect(readdirSync(join(root, '.cuda'))).toEqual([]);
    expect(readdirSync(binaries)).toEqual([]);
  });

  it('knows no options', () => {
    expect(setup([], ['--gpu']).stderr).toContain('setup:cuda: there is no option --gpu');
    expect(existsSync(join(root, '.cuda'))).toBe(false);
  });
});
