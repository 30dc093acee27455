import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeDevice, deviceReport } from './device-report.ts';

const hasGpu = ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/dev/dxg'].some((path) => existsSync(path));
const choice = { engine: 'onnx', device: 'cuda', reason: 'as asked' } as const;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'jsigr-driver-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the report about what computes', () => {
  test('names GPUs and driver as the driver does', () => {
    for (const bus of ['0000:81:00.0', '0000:04:00.0']) {
      mkdirSync(join(folder, 'gpus', bus), { recursive: true });
      const model = bus < '0000:1' ? 'NVIDIA H100 80GB HBM3' : 'NVIDIA L4';
      writeFileSync(join(folder, 'gpus', bus, 'information'), `Model: \t\t ${model}\nIRQ:   \t\t 64\n`);
    }
    const kernel = 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n';
    writeFileSync(join(folder, 'version'), `${kernel}GCC version:  gcc version 12.2.0\n`);
    expect(deviceReport(choice, folder)).toBe(
      'device check: engine onnx computes on cuda (NVIDIA H100 80GB HBM3, NVIDIA L4, driver 580.95.05): as asked',
    );
  });

  test('does without what the driver does not say', () => {
    expect(deviceReport(choice, join(folder, 'nowhere'))).toBe('device check: engine onnx computes on cuda: as asked');
  });

  test.skipIf(hasGpu)('says why it is the CPU, and fails where a GPU was asked for', async () => {
    expect(await describeDevice({})).toMatch(
      /^device check: engine onnx computes on cpu: .*not on cuda: no NVIDIA GPU/,
    );
    await expect(describeDevice({ device: 'cuda' })).rejects.toThrow(
      "the engine 'onnx' cannot run on cuda: no NVIDIA GPU is visible here (`nvidia-smi` should list one)",
    );
  });
});
