import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const scripts = fileURLToPath(new URL('../scripts', import.meta.url));

/** A project of its own, with an npm that does nothing and tools that all work unless a case takes one away. */
let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'jsigr-setup-'));
  for (const file of ['npm/bin/npm-cli.js', 'npm/node_modules/node-gyp/bin/node-gyp.js']) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
  mkdirSync(join(root, 'scripts'));
  for (const file of ['setup-tensorflow.ts', 'wheels.ts'])
    copyFileSync(join(scripts, file), join(root, 'scripts', file));
  mkdirSync(join(root, 'tools'));
  symlinkSync('/bin/sh', join(root, 'tools', 'sh'));
  for (const tool of ['python3', 'g++', 'make', 'tar'])
    writeFileSync(join(root, 'tools', tool), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
});
afterAll(() => rmSync(root, { recursive: true }));

function setup(options: readonly string[], change: Readonly<Record<string, string | undefined>>) {
  const env = { PATH: join(root, 'tools'), npm_execpath: join(root, 'npm/bin/npm-cli.js'), ...change };
  return spawnSync(process.execPath, ['--no-warnings', join(root, 'scripts', 'setup-tensorflow.ts'), ...options], {
    encoding: 'utf8',
    env: env as NodeJS.ProcessEnv,
  });
}

// the script knows one platform, and says so elsewhere
describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('npm run setup:tensorflow', () => {
  it.each([
    ['an unknown option', ['--cuda'], {}, 'there is no option --cuda; --gpu is all there is'],
    ['no npm', [], { npm_execpath: undefined }, 'start it by `npm run setup:tensorflow`'],
    [
      'no Python',
      [],
      { PYTHON: '/nowhere/python3' },
      '`/nowhere/python3 -c "import zipfile"` does not work: install Python 3.9 or later',
    ],
  ] as const)('says what to do about %s, and leaves nothing behind', (_, options, change, message) => {
    const { status, stderr } = setup(options, change);
    expect(status).toBe(1);
    expect(stderr).toContain(`setup:tensorflow: ${message}`);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(existsSync(join(root, '.tensorflow'))).toBe(false);
  });

  it.each(['g++', 'make', 'tar'])('names a missing %s', (tool) => {
    rmSync(join(root, 'tools', tool));
    const { status, stderr } = setup([], {});
    writeFileSync(join(root, 'tools', tool), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    expect(status).toBe(1);
    expect(stderr).toContain(`setup:tensorflow: \`${tool} --version\` does not work: install`);
  });

  it('cleans up after a build that failed', () => {
    const { status, stderr } = setup([], {}); // npm gives no archive
    expect(status).toBe(1);
    expect(stderr).toContain('setup:tensorflow: npm gave no archive of @tensorflow/tfjs-node');
    expect(existsSync(join(root, '.tensorflow/node_modules/@tensorflow/tfjs-node'))).toBe(false);
  });
});
