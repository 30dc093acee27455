/**
 * Preloaded (`NODE_OPTIONS=--import ...`) into every process of a test: the first computing thread of each kind of worker hangs for ever once it has told
 * what it could go on from. JSIGR_TEST_HUNG names a folder in which each that did leaves a mark, so that the next one does not.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, parentPort } from 'node:worker_threads';

const kind = /services[/](trainer|attacker)[/]/.exec(process.argv[1] ?? '')?.[1];
const folder = process.env.JSIGR_TEST_HUNG;
if (!isMainThread && parentPort && kind && folder) {
  const mark = join(folder, kind);
  const post = parentPort.postMessage.bind(parentPort);
  parentPort.postMessage = (message, ...rest) => {
    post(message, ...rest);
    const { event } = message as { event?: { type?: string } };
    if (!['state', 'checkpoint', 'partial'].includes(event?.type ?? '') || existsSync(mark)) return;
    writeFileSync(mark, '');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
}
