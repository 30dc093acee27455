import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Cores that this process may really use: those of its affinity mask, or fewer if its control group has a quota. */
export function grantedCores(): number {
  const quota = quotaOf(readText('/sys/fs/cgroup/cpu.max')) ?? legacyQuota();
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quota ?? Number.POSITIVE_INFINITY)));
}

/** Cores of a cgroup v2 `cpu.max` ("150000 100000": 1.5 cores; "max 100000": no quota). */
export function quotaOf(cpuMax: string | undefined): number | undefined {
  const [quota, period] = (cpuMax ?? '').trim().split(/\s+/).map(Number);
  return quota && period && quota > 0 ? quota / period : undefined;
}

function legacyQuota(): number | undefined {
  const [quota, period] = ['quota', 'period'].map((name) => readText(`/sys/fs/cgroup/cpu/cpu.cfs_${name}_us`));
  return quota && period ? quotaOf(`${quota.trim()} ${period.trim()}`) : undefined;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // no control groups here
  }
}
