import { setTimeout } from 'node:timers/promises';
import { openTls, type TlsFiles } from '@jsigr/service/client';
import { holderOf } from './directory-lock.ts';
import { isServing } from './workers/health.ts';

export interface FoundGateway {
  readonly grpcAddress: string;
  readonly httpAddress?: string;
  readonly pid: number;
  /** It ends with the command that started it. */
  readonly embedded: boolean;
  /** Lets its owner in. */
  readonly token?: string;
  /** How to make sure of it; absent where nothing is encrypted. */
  readonly tls?: TlsFiles;
}

const STARTING_MS = 30_000;
const LOOK_AGAIN_MS = 100;
const HEALTH_MS = 2000;

/**
 * The gateway that is up on this data directory; one that is just starting is waited for.
 * @param shown certificate and key for a gateway that asks for them
 */
export async function findGateway(dataDirectory: string, shown: TlsFiles = {}): Promise<FoundGateway | undefined> {
  for (const until = Date.now() + STARTING_MS; Date.now() < until; ) {
    const holder = await holderOf(dataDirectory);
    if (!holder) return undefined;
    const { pid, grpcAddress, httpAddress, embedded = false, ownerToken: token } = holder;
    const tls = holder.tls && ({ ...holder.tls, ...shown } as TlsFiles);
    if (grpcAddress) {
      const serving = await isUp(grpcAddress, tls).catch(() => false);
      return serving
        ? {
            grpcAddress,
            ...(httpAddress ? { httpAddress } : {}),
            pid,
            embedded,
            ...(token ? { token } : {}),
            ...(tls ? { tls } : {}),
          }
        : undefined;
    }
    await setTimeout(LOOK_AGAIN_MS);
  }
  return undefined;
}

async function isUp(address: string, files: TlsFiles | undefined): Promise<boolean> {
  const quiet = { info: () => {}, error: () => {} };
  const tls = files && (await openTls(files, quiet));
  try {
    return await isServing({ address, tls: tls?.client }, HEALTH_MS);
  } finally {
    tls?.close();
  }
}
