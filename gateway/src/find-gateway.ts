import { setTimeout } from 'node:timers/promises';
import { holderOf } from './data-directory.ts';
import { isServing } from './workers/health.ts';

export interface FoundGateway {
  readonly grpcAddress: string;
  readonly httpAddress?: string;
  readonly pid: number;
}

const STARTING_MS = 30_000;
const LOOK_AGAIN_MS = 100;
const HEALTH_MS = 2000;

/** The gateway that is up on this data directory; one that is just starting is waited for. */
export async function findGateway(dataDirectory: string): Promise<FoundGateway | undefined> {
  for (const until = Date.now() + STARTING_MS; Date.now() < until; ) {
    const holder = await holderOf(dataDirectory);
    if (!holder) return undefined;
    const { pid, grpcAddress, httpAddress } = holder;
    if (grpcAddress) {
      const serving = await isServing(grpcAddress, HEALTH_MS).catch(() => false);
      return serving ? { grpcAddress, ...(httpAddress ? { httpAddress } : {}), pid } : undefined;
    }
    await setTimeout(LOOK_AGAIN_MS);
  }
  return undefined;
}
