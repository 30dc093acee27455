/**
 * The process in which a foreign file is read. Its thread may hang or crash in native code, or ask for any amount of memory: then this process ends, not the
 * gateway. This file is its main thread, which never computes, so that it always hears its parent and sees what the other one takes.
 */
import { ComputeError, plain, siblingModule, startComputeThread } from '@jsigr/service/compute';
import type { Answer, Task } from './in-model-process.ts';
import type { ModelMethods } from './model-methods.ts';

/** A processor writes some hundred megabytes in this time. */
const LOOK_MS = 50;

// The parent died.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal sends ^C to all processes of its group: the parent decides.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
process.once('message', (task: Task) => void done(task));

async function done({ method, argument, mostBytes }: Task): Promise<void> {
  setInterval(() => {
    if (process.memoryUsage.rss() > mostBytes) answer('too large');
  }, LOOK_MS);
  const thread = startComputeThread<ModelMethods>(siblingModule(import.meta.url, 'model-thread'));
  await thread.call(method, argument).then(
    (result) => answer({ result }),
    (error) => answer(isOutOfHeap(error) ? 'too large' : { error: plain(error) }),
  );
}

/** The only one: nothing is done, or takes memory, after it. */
function answer(message: Answer): void {
  process.send?.(message, () => process.kill(process.pid, 'SIGKILL'));
}

/** V8 ended the thread, whose heap was full. */
function isOutOfHeap(error: unknown): boolean {
  return error instanceof ComputeError && (error.cause as NodeJS.ErrnoException)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
}
