import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkTarget, once, saveStream } from './files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

const save = (path: string, text: string) => saveStream(path, once(Buffer.from(text)));

describe('a file that is written', () => {
  test('is whole or not there, and what was there before stays', async () => {
    const path = join(folder, 'deep', 'page.html');
    await save(path, 'old');
    async function* broken() {
      yield { data: Buffer.from('new') };
      throw new Error('the stream broke');
    }
    await expect(saveStream(path, broken())).rejects.toThrow('the stream broke');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(join(folder, 'deep'))).toEqual(['page.html']);
  });

  test('may have any other name beside it', async () => {
    await writeFile(join(folder, 'page.html.part'), 'of somebody else');
    await save(join(folder, 'page.html'), 'page');
    expect(await readFile(join(folder, 'page.html.part'), 'utf8')).toBe('of somebody else');
  });

  test('behind a link takes the place of what the link leads to', async () => {
    await writeFile(join(folder, 'real'), 'old');
    await symlink('real', join(folder, 'link'));
    await save(join(folder, 'link'), 'new');
    expect([await readlink(join(folder, 'link')), await readFile(join(folder, 'real'), 'utf8')]).toEqual([
      'real',
      'new',
    ]);
  });

  test.skipIf(process.platform === 'win32')('does not take the place of a device', async () => {
    await symlink('/dev/null', join(folder, 'null'));
    expect(await save(join(folder, 'null'), 'away')).toBe(4);
    expect(await readdir(folder)).toEqual(['null']);
    expect(await readlink(join(folder, 'null'))).toBe('/dev/null');
  });
});

describe('a target that nothing can be written to is refused beforehand', () => {
  test('unless it, or what it would be made in, can be', async () => {
    await writeFile(join(folder, 'file'), '');
    for (const path of ['file', 'new', 'deep/new']) await checkTarget(join(folder, path));
    for (const path of ['', 'new', 'deep/new']) await checkTarget(join(folder, path), true);
  });

  const refused: [string, string, boolean, RegExp][] = [
    ['a folder in place of a file', 'folder', false, /folder: is a folder$/],
    ['a file in place of a folder', 'file', true, /file: is no folder$/],
    ['a file in place of its folder', 'file/page.html', false, /file\/page.html: /],
    ['a name that is too long', 'x'.repeat(300), false, /ENAMETOOLONG/],
  ];
  for (const [what, path, isFolder, says] of refused)
    test(what, async () => {
      await mkdir(join(folder, 'folder'));
      await writeFile(join(folder, 'file'), '');
      await expect(checkTarget(join(folder, path), isFolder)).rejects.toMatchObject({
        reason: 'FILE_NOT_USABLE',
        message: expect.stringMatching(says),
      });
    });

  test.skipIf(process.getuid?.() === 0)('a folder without permission', async () => {
    await chmod(folder, 0o500);
    await expect(checkTarget(join(folder, 'page.html'))).rejects.toMatchObject({ reason: 'FILE_NOT_USABLE' });
    await chmod(folder, 0o700);
  });
});
