import { existsSync } from 'node:fs';

/** Files that NVIDIA's driver makes: on Linux, in its containers, and under Windows' Linux. */
const DRIVER_FILES = ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/dev/dxg'];

/** What hinders the use of an NVIDIA GPU, if there seems to be none; asks no library, since loading one costs and prints. */
export function nvidiaObstacle(exists: (path: string) => boolean = existsSync): string | undefined {
  return DRIVER_FILES.some(exists) ? undefined : 'no NVIDIA GPU is visible here (`nvidia-smi` should list one)';
}

/**
 * NVIDIA's libraries round the factors of float32 products to 10 bits by default (TF32): errors of 1e-3, where second derivatives need better. They
 * read this when they are loaded. Who sets NVIDIA_TF32_OVERRIDE=1 gets the speed instead.
 */
export function forbidTensorFloat(): void {
  process.env.NVIDIA_TF32_OVERRIDE ??= '0';
}
