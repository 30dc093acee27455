import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type GpuMemoryOptions, gpuMemoryMeter } from './gpu-memory.ts';

// A program in the place of nvidia-smi: it writes down what it was asked, and answers as the driver's does.
let folder: string;
let program: string;
let asked: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-gpu-'));
  [program, asked] = [join(folder, 'smi'), join(folder, 'asked')];
});
// A question that was still out writes its line into the folder that is being removed: once more, then.
afterEach(() => rm(folder, { recursive: true, maxRetries: 10, retryDelay: 50 }));

async function meter(script: string, options: GpuMemoryOptions = {}) {
  await writeFile(program, `#!/bin/sh\necho "$@" >> ${asked}\n${script}\n`, { mode: 0o755 });
  return gpuMemoryMeter({ program, driver: folder, environment: {}, freshMs: 0, ...options });
}
const questions = async () => (await readFile(asked, 'utf8').catch(() => '')).split('\n').filter(Boolean);

test('says what the driver said last, and asks again once that is old', async () => {
  const read = await meter('echo "1024, 81920"');
  expect(read()).toBeUndefined();
  await expect.poll(read).toEqual({ usedBytes: 2 ** 30, totalBytes: 80 * 2 ** 30 });
  expect((await questions())[0]).toBe('--id=0 --query-gpu=memory.used,memory.total --format=csv,noheader,nounits');
  await writeFile(program, '#!/bin/sh\necho "2048, 81920"\n');
  await expect.poll(read).toMatchObject({ usedBytes: 2 * 2 ** 30 });
});

test('does not ask while an answer is fresh', async () => {
  const read = await meter('echo "1, 2"', { freshMs: 60_000 });
  await expect.poll(read).toBeDefined();
  for (let i = 0; i < 100; i++) read();
  expect(await questions()).toHaveLength(1);
});

test.each([
  ['a driver that does not know', 'echo "[N/A], [N/A]"'],
  ['figures that cannot be', 'echo "3, 2"'],
  ['a driver that fails', 'echo "1, 2"; exit 9'],
  ['a driver that hangs', 'sleep 60'],
])('%s: nothing is known', async (_, script) => {
  const read = await meter(script, { timeoutMs: 300 });
  read();
  await expect.poll(async () => (await questions()).length).toBe(1);
  // Asked again: the first question has come to its end.
  await expect
    .poll(async () => {
      read();
      return (await questions()).length;
    })
    .toBeGreaterThan(1);
  expect(read()).toBeUndefined();
});

test('of the GPUs that the worker is shown the first is asked about', async () => {
  const read = await meter('echo "1, 2"', { environment: { CUDA_VISIBLE_DEVICES: 'GPU-5a,GPU-7b' } });
  await expect.poll(read).toBeDefined();
  expect((await questions())[0]).toMatch(/^--id=GPU-5a /);
});

test.each([
  ['without a driver', { driver: '/nowhere' }],
  ['on the processor', { device: 'cpu' }],
  ['where no GPU is shown', { environment: { CUDA_VISIBLE_DEVICES: '-1' } }],
])('%s nothing is started', async (_, options) => {
  const read = await meter('echo "1, 2"', options);
  for (let i = 0; i < 3; i++) expect(read()).toBeUndefined();
  // The one of another meter comes alone: a question that was put before it would be there as well.
  await expect.poll(await meter('echo "1, 2"', { freshMs: 60_000 })).toBeDefined();
  expect(await questions()).toHaveLength(1);
});
