import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const FLAGS = ['--conditions=source', '--disable-warning=ExperimentalWarning'];
const STARTING_MS = 60_000;

describe.skipIf(process.platform !== 'linux')('the command as a process', () => {
  test(
    'says in one sentence that its output found no room',
    async () => {
      const full = openSync('/dev/full', 'w');
      const child = spawn(process.execPath, [...FLAGS, MAIN, '--help'], { stdio: ['ignore', full, 'pipe'] });
      closeSync(full);
      const { stderr } = child;
      const [said, [code]] = await Promise.all([stderr && text(stderr), once(child, 'close')]);
      expect([code, said]).toEqual([
        1,
        expect.stringMatching(/^jsigr: standard output cannot be written: ENOSPC.*\n$/),
      ]);
    },
    STARTING_MS,
  );

  test(
    'goes on when nobody reads its complaints',
    async () => {
      const full = openSync('/dev/full', 'w');
      const child = spawn(process.execPath, [...FLAGS, MAIN, 'no-such-command'], { stdio: ['ignore', 'pipe', full] });
      closeSync(full);
      const [code] = await once(child, 'close');
      expect(code).toBe(2);
    },
    STARTING_MS,
  );
});
