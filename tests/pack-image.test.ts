import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const script = fileURLToPath(new URL('../scripts/pack-image.ts', import.meta.url));
/** A project of three workspaces, of which one needs another, and an npm that notes what it is asked for. */
let project: string;
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'jsigr-pack-'));
  const put = (file: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    writeFileSync(join(project, file), text, { mode });
  };
  put('package.json', JSON.stringify({ name: 'all', workspaces: ['packages/*', 'app'] }));
  put('package-lock.json', '{}');
  put('.npmrc', '');
  const uses = { app: { '@x/one': '1', zod: '1' }, 'packages/one': {}, 'packages/two': {} };
  for (const [folder, dependencies] of Object.entries(uses)) {
    put(`${folder}/package.json`, JSON.stringify({ name: `@x/${folder.split('/').at(-1)}`, dependencies }));
    for (const file of ['index.js', 'index.js.map', 'index.test.js', 'deep/a.js']) put(`${folder}/dist/${file}`, file);
  }
  put('packages/one/v1/a.proto', 'a');
  put('packages/one/src/generated/a.binpb', 'a');
  put('app/bin/app.js', 'app');
  const binaries = ['linux/x64/a.so', 'linux/arm64/a.so', 'darwin/arm64/a.dylib'];
  const made = binaries.map((file) => `node_modules/onnxruntime-node/bin/napi-v6/${file}`);
  put(
    'path/npm',
    `#!/bin/sh\necho "$*" > asked\nfor file in ${made.join(' ')}; do mkdir -p $(dirname $file); : > $file; done\n`,
    0o755,
  );
  mkdirSync(join(project, 'scripts'));
  copyFileSync(script, join(project, 'scripts/pack-image.ts'));
});
afterEach(() => rmSync(project, { recursive: true }));

function pack(...options: string[]) {
  const path = `${join(project, 'path')}:${process.env.PATH}`;
  const program = ['--no-warnings', join(project, 'scripts/pack-image.ts'), ...options];
  return spawnSync(process.execPath, program, { cwd: project, encoding: 'utf8', env: { ...process.env, PATH: path } });
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('what an image holds', () => {
  test('is the workspace, those that it needs, and the binaries of this platform', () => {
    expect(pack('out', '@x/app')).toMatchObject({ status: 0, stderr: '' });
    const out = join(project, 'out');
    expect(readFileSync(join(out, 'asked'), 'utf8').trim()).toBe(
      'ci --omit=dev --prefer-offline --no-audit --no-fund --workspace=@x/app',
    );
    const files = globSync('**/*', { cwd: out, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ parentPath, name }) => join(parentPath, name).slice(out.length + 1)).sort()).toEqual([
      ...['app/bin/app.js', 'app/dist/deep/a.js', 'app/dist/index.js', 'app/package.json', 'asked'],
      ...['node_modules/onnxruntime-node/bin/napi-v6/linux/x64/a.so', 'package-lock.json', 'package.json'],
      ...['packages/one/dist/deep/a.js', 'packages/one/dist/index.js', 'packages/one/package.json'],
      ...['packages/one/src/generated/a.binpb', 'packages/one/v1/a.proto'],
    ]);
  });

  test.each([
    [[], 'usage: node scripts/pack-image.ts FOLDER WORKSPACE...'],
    [['out', '@x/three'], 'there is no workspace @x/three; there are @x/app, @x/one, @x/two'],
    [['scripts', '@x/app'], 'scripts is not empty'],
  ])('is not put together from %j', (options, message) => {
    const { status, stderr } = pack(...options);
    expect(stderr).toContain(message);
    expect(status).toBe(1);
  });

  test('is not put together from what is not built', () => {
    rmSync(join(project, 'packages/one/dist'), { recursive: true });
    expect(pack('out', '@x/app').stderr).toContain('packages/one is not built: run `npm run build` first');
  });
});
