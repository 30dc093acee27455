import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jsigr-compiled-'));
});
afterEach(() => rm(home, { recursive: true }));

/** What a process prints that caches its code. */
async function cached(environment: Record<string, string>): Promise<string> {
  const place = JSON.stringify(fileURLToPath(new URL('compile-cache.ts', import.meta.url)));
  const code = `const { cacheCompiledCode } = await import(${place}); cacheCompiledCode(); await import('node:util');
    await import(${JSON.stringify(join(home, 'program.mjs'))}); console.log(process.env.NODE_COMPILE_CACHE ?? 'none')`;
  await writeFile(join(home, 'program.mjs'), 'export const answer = 42;');
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME, ...inherited } = process.env;
  const env = { ...inherited, HOME: home, ...environment };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { env });
  return stdout.trim();
}

test('keeps compiled code in the cache folder, for the processes that are started as well', async () => {
  expect(await cached({})).toBe(join(home, '.cache/jsigr/compiled'));
  expect(await readdir(join(home, '.cache/jsigr/compiled'))).not.toEqual([]);
  expect(await cached({ XDG_CACHE_HOME: join(home, 'elsewhere') })).toBe(join(home, 'elsewhere/jsigr/compiled'));
});

test('does what the environment says, and without a folder where none can be made', async () => {
  expect(await cached({ NODE_COMPILE_CACHE: join(home, 'given') })).toBe(join(home, 'given'));
  expect(await cached({ NODE_DISABLE_COMPILE_CACHE: '1' })).toBe('none');
  await writeFile(join(home, 'file'), '');
  expect(await cached({ XDG_CACHE_HOME: join(home, 'file') })).toBe('none');
});
