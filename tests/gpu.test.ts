import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EngineError } from '@jsigr/engine';
import { describe, expect, it } from 'vitest';
import { findTargets, GPU_TARGETS } from '../bench/gpu/targets.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Graphics drivers of Linux make one of these. */
const hasGpu = ['/dev/dri', '/dev/nvidiactl', '/dev/dxg'].some((path) => existsSync(path));

describe('npm run test:gpu', () => {
  it.skipIf(hasGpu)('says of each engine why it cannot run where there is no GPU, and fails', () => {
    const options = ['--conditions=source', 'bench/gpu/main.ts', '/dev/null'];
    const { status, stdout, stderr } = spawnSync(process.execPath, options, { cwd: root, encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stderr).toContain('test:gpu: there is no GPU that an engine can use here, so nothing was tested');
    for (const target of ['onnx/cuda', 'onnx/webgpu', 'tensorflow/cuda'])
      expect(stdout).toContain(`${target}: the engine`);
  });

  it('tells what is missing from what is broken', async () => {
    const missing = new EngineError('MISSING_ENGINE', 'run `npm run setup:tensorflow`');
    const found = await findTargets(GPU_TARGETS, () => Promise.reject(missing));
    expect(found.map((result) => 'problem' in result && result.problem)).toEqual(Array(3).fill(missing.message));
    const broken = new EngineError('RUNTIME_FAILURE', 'out of memory');
    await expect(findTargets(GPU_TARGETS, () => Promise.reject(broken))).rejects.toBe(broken);
  });
});
