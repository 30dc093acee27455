import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEngine } from '../engine.ts';
import { addonObstacle, findAddon } from './addon.ts';

describe('tfjs-node is found', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'jsigr-addon-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** A file of a program, so and so many folders deep, that looks for the add-on. */
  const program = () => join(root, 'packages', 'engine', 'index.js');
  function install(folder: string, ...path: string[]): string {
    const file = join(root, folder, '@tensorflow', ...path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '{"name":"x"}');
    return file;
  }

  test('where `npm run setup:tensorflow` puts it', () => {
    const file = install('.tensorflow/node_modules', 'tfjs-node', 'lib', 'napi-v8', 'tfjs_binding.node');
    expect(findAddon('cpu', program())).toBe(file);
    expect(findAddon('cuda', program())).toBeUndefined();
  });

  test('where npm puts it, which comes first', () => {
    install('.tensorflow/node_modules', 'tfjs-node', 'lib', 'napi-v8', 'tfjs_binding.node');
    install('node_modules', 'tfjs-node', 'package.json');
    const file = install('node_modules', 'tfjs-node', 'lib', 'napi-v8', 'tfjs_binding.node');
    expect(findAddon('cpu', program())).toBe(file);
  });

  test('not where it was installed and never built', () => {
    install('node_modules', 'tfjs-node', 'package.json');
    expect(findAddon('cpu', program())).toBeUndefined();
  });
});

test.skipIf(addonObstacle('cpu'))('threads are those of the first engine of the process', async () => {
  const first = await createEngine({ engine: 'tensorflow', device: 'cpu', threads: 1 });
  await expect(createEngine({ engine: 'tensorflow', device: 'cpu', threads: 2 })).rejects.toThrow(
    /already runs in this process on cpu with 1 threads, not on cpu with 2: use the same for all engines of a process/,
  );
  expect(first.info).toMatchObject({ engine: 'tensorflow', device: 'cpu', threads: 1, blockSize: 1 });
  await first.dispose();
});
