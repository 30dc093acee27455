import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Choice, chooseEngine } from './choice.ts';
import type { EngineOptions } from './engine.ts';
import { obstacles } from './runtime.ts';

/** Where NVIDIA's driver says what it drives, in containers too; there it shows those GPUs alone that the container may use. */
const DRIVER = '/proc/driver/nvidia';

/**
 * One line about what would compute here, found out by having it compute: for the start of a service that is not to fail at its first request.
 * @throws EngineError INVALID_INPUT; MISSING_ENGINE where what was asked for is not there or does not work
 */
export async function describeDevice({ engine, device }: Pick<EngineOptions, 'engine' | 'device'>): Promise<string> {
  return deviceReport(await chooseEngine({ engine, device }, obstacles));
}

/** @param driver folder of NVIDIA's driver under /proc */
export function deviceReport({ engine, device, reason }: Choice, driver: string = DRIVER): string {
  const found = device === 'cuda' ? gpus(driver) : '';
  return `device check: engine ${engine} computes on ${device}${found ? ` (${found})` : ''}: ${reason}`;
}

/** E.g. `NVIDIA H100 80GB HBM3, driver 580.95.05`; empty where the driver does not say. */
function gpus(driver: string): string {
  const folder = join(driver, 'gpus');
  const models = !existsSync(folder)
    ? []
    : readdirSync(folder)
        .sort()
        .map((bus) => /^Model:\s*(.+)$/m.exec(textOf(join(folder, bus, 'information')))?.[1]?.trim())
        .filter((model) => model !== undefined);
  const version = /Kernel Module\s+(?:for \S+\s+)?([0-9.]+)/.exec(textOf(join(driver, 'version')))?.[1];
  return [...models, ...(version ? [`driver ${version}`] : [])].join(', ');
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
