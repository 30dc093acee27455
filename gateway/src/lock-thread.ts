/** The thread that touches the lock of a data directory. */
import { readFileSync, utimesSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { KeptLock } from './lock-keeper.ts';

const { file, instance, touchMs } = workerData as KeptLock;

const timer = setInterval(() => {
  try {
    if (JSON.parse(readFileSync(file, 'utf8')).instance === instance) return utimesSync(file, new Date(), new Date());
  } catch (error) {
    // A file system that does not answer now may do so the next time.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
  }
  clearInterval(timer);
  parentPort?.postMessage('lost');
}, touchMs);
