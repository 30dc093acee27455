import { Worker } from 'node:worker_threads';
import { siblingModule } from '@jsigr/service/compute';

export interface KeptLock {
  readonly file: string;
  /** What the file must say. */
  readonly instance: string;
  /** How often it is touched, in milliseconds. */
  readonly touchMs: number;
}

/**
 * Touches a lock file again and again, so that others see that its holder lives: on a thread of its own, because the embedded database may keep the
 * main one busy for long.
 * @param onLost the file is gone, or another holder's
 */
export function keepLock(kept: KeptLock, onLost: () => void): { stop(): Promise<void> } {
  const url = siblingModule(import.meta.url, 'lock-thread');
  const thread = new Worker(url, {
    workerData: kept,
    ...(url.pathname.endsWith('.ts') ? { execArgv: ['--disable-warning=ExperimentalWarning'] } : {}),
  });
  thread.unref();
  thread.once('message', onLost);
  return {
    async stop() {
      thread.off('message', onLost);
      await thread.terminate();
    },
  };
}
