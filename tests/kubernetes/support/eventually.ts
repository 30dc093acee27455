import { setTimeout as sleep } from 'node:timers/promises';

/** Looks again and again until it does not throw any more. @throws what was thrown last, once the time is over */
export async function eventually<T>(
  look: () => T | Promise<T>,
  { timeout = 60_000, interval = 200 }: { readonly timeout?: number; readonly interval?: number } = {},
): Promise<T> {
  for (const end = Date.now() + timeout; ; ) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await sleep(interval);
  }
}
