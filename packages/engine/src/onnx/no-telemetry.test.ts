import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const program = `
  const { createEngine } = await import(process.env.ENGINE);
  const engine = await createEngine({ threads: 1 });
  await engine.dispose();
`;

it('a process that computes tells nobody, and leaves nothing in the temporary folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'jsigr-telemetry-'));
  const { ORT_DISABLE_TELEMETRY: _, ...inherited } = process.env;
  try {
    await promisify(execFile)(
      process.execPath,
      ['--conditions=source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
      {
        cwd: fileURLToPath(new URL('.', import.meta.url)),
        env: { ...inherited, TMPDIR: folder, ENGINE: new URL('../index.ts', import.meta.url).href },
      },
    );
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
