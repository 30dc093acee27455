// `npm run test:gpu [FILE]`: conformance, the jobs of bench/tensorflow and one J-SIGR run on every GPU engine that works here. Writes what it found to
// FILE (gpu-results.json) and ends with 0 if all that was there passed, 1 if something failed, 3 if there is no GPU.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Found, findTargets, GPU_TARGETS, nameOf } from './targets.ts';

const NO_GPU = 3;
const root = fileURLToPath(new URL('../..', import.meta.url));
const [file = 'gpu-results.json'] = process.argv.slice(2);

const found = await findTargets(GPU_TARGETS);
for (const result of found) console.log(`${nameOf(result.target)}: ${'info' in result ? result.info : result.problem}`);
if (found.every((result) => 'problem' in result)) {
  console.error('test:gpu: there is no GPU that an engine can use here, so nothing was tested');
  process.exitCode = NO_GPU;
} else {
  const results = found.map((result) => ('info' in result ? { ...result, ...test(result) } : result));
  const report = { date: new Date().toISOString(), node: process.version, gpus: gpus(), results };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`written to ${file}`);
  if (results.some((result) => 'passed' in result && !result.passed)) process.exitCode = 1;
}

/** Each step is a process of its own: a driver that crashes takes only that with it. */
function test({ target }: Found) {
  const conformance = conformanceOf(nameOf(target));
  console.log(`${nameOf(target)} conformance: ${conformance.passedTests} passed, ${conformance.failedTests} failed`);
  const jobs = spawnSync(
    process.execPath,
    [fileURLToPath(new URL('jobs.ts', import.meta.url)), target.engine, target.device],
    {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ran = jobs.status === 0;
  const measured: unknown = ran ? JSON.parse(jobs.stdout) : `ended with ${jobs.status ?? jobs.signal}`;
  console.log(`${nameOf(target)} jobs and training: ${JSON.stringify(measured)}`);
  return { passed: conformance.passed && ran, conformance, measured };
}

function conformanceOf(target: string) {
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-gpu-'));
  const output = join(folder, 'report.json');
  const options = ['run', 'packages/engine/src/targets.test.ts', '--reporter=json', `--outputFile=${output}`];
  const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), options, {
    cwd: root,
    env: { ...process.env, JSIGR_TEST_TARGETS: target },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(output, 'utf8'));
    return { passed: status === 0, passedTests: Number(numPassedTests), failedTests: Number(numFailedTests) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What NVIDIA's tool says of the cards, if it is there: WebGPU may run on another. */
function gpus(): string[] {
  const { status, stdout } = spawnSync(
    'nvidia-smi',
    ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'],
    {
      encoding: 'utf8',
    },
  );
  return status === 0 ? stdout.trim().split('\n') : [];
}
