import { describe, expect, test } from 'vitest';
import { chooseEngine, type Obstacles } from './choice.ts';
import { createEngine } from './engine.ts';
import { nvidiaObstacle } from './gpu.ts';

const none = async () => undefined;
const noGpu = async () => 'no GPU here';
const notInstalled = async () => 'run `npm run setup:tensorflow`';

/** A machine with nothing but npm. */
const plain: Obstacles = {
  onnx: { cpu: none, cuda: noGpu, webgpu: noGpu },
  tensorflow: { cpu: notInstalled, cuda: notInstalled },
  reference: { cpu: none },
};
/** A machine with a GPU and everything installed. */
const full: Obstacles = {
  onnx: { cpu: none, cuda: none, webgpu: none },
  tensorflow: { cpu: none, cuda: none },
  reference: { cpu: none },
};

describe('what is taken', () => {
  test.each([
    ['nothing asked, plain machine', {}, plain, 'onnx', 'cpu', 'the default engine; not on cuda: no GPU here'],
    [
      'auto says the same',
      { engine: 'auto', device: 'auto' },
      plain,
      'onnx',
      'cpu',
      'the default engine; not on cuda: no GPU here',
    ],
    ['nothing asked, GPU', {}, full, 'onnx', 'cuda', 'the default engine'],
    ['a device', { device: 'cpu' }, full, 'onnx', 'cpu', 'the default engine, on the device that was asked for'],
    [
      'WebGPU, which is never taken unasked',
      { device: 'webgpu' },
      full,
      'onnx',
      'webgpu',
      'the default engine, on the device that was asked for',
    ],
    ['an engine', { engine: 'tensorflow' }, full, 'tensorflow', 'cuda', 'the engine that was asked for'],
    [
      'both',
      { engine: 'tensorflow', device: 'cpu' },
      full,
      'tensorflow',
      'cpu',
      'the engine that was asked for, on the device that was asked for',
    ],
    ['the reference', { engine: 'reference' }, plain, 'reference', 'cpu', 'the engine that was asked for'],
  ] as const)('%s', async (_, wanted, machine, engine, device, reason) => {
    expect(await chooseEngine(wanted, machine)).toEqual({ engine, device, reason });
  });
});

describe('what is not there is refused, never replaced', () => {
  test.each([
    [
      { engine: 'tensorflow' },
      'MISSING_ENGINE',
      "the engine 'tensorflow' cannot run on cpu: run `npm run setup:tensorflow`",
    ],
    [{ device: 'cuda' }, 'MISSING_ENGINE', "the engine 'onnx' cannot run on cuda: no GPU here"],
    [{ device: 'webgpu' }, 'MISSING_ENGINE', "the engine 'onnx' cannot run on webgpu: no GPU here"],
    [
      { engine: 'tensorflow', device: 'webgpu' },
      'INVALID_INPUT',
      "the engine 'tensorflow' does not run on webgpu; it runs on cpu, cuda",
    ],
    [
      { engine: 'reference', device: 'cuda' },
      'INVALID_INPUT',
      "the engine 'reference' does not run on cuda; it runs on cpu",
    ],
    [{ engine: 'torch' }, 'INVALID_INPUT', "engine is 'torch'; there are auto, onnx, tensorflow, reference"],
    [{ device: 'tpu' }, 'INVALID_INPUT', "device is 'tpu'; there are auto, cpu, cuda, webgpu"],
  ])('%j', async (wanted, reason, message) => {
    await expect(chooseEngine(wanted as never, plain)).rejects.toMatchObject({ reason, message });
  });

  test('by the engine itself too: blocks are for the CPU', async () => {
    await expect(createEngine({ engine: 'reference', blockSize: 16 })).rejects.toThrow(
      "blockSize is 16; 'reference' on cpu knows 1 only",
    );
  });
});

test.each([
  ['/proc/driver/nvidia/version', undefined],
  ['/dev/dxg', undefined],
  ['/dev/null', /no NVIDIA GPU is visible here/],
])('a machine with %s', (file, obstacle) => {
  const found = nvidiaObstacle((path) => path === file);
  if (obstacle) expect(found).toMatch(obstacle);
  else expect(found).toBeUndefined();
});
