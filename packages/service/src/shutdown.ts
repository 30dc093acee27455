type Task = () => Promise<void> | void;

const tasks: Task[] = [];
let running: Promise<void> | undefined;
let listening = false;
let deadlineMs = 10_000;
let exitCode = 0;

/**
 * Registers what is to be done on SIGTERM and SIGINT, the last registered first; then the process exits with 0, or what `exitAfterShutdown` said (143 or 130
 * when a task hangs for ten seconds). A process that has a parent by IPC leaves SIGINT to it: Ctrl-C reaches the whole group, and the parent decides.
 * @param graceMs how much longer all of it may take because of this task
 * @returns a function that takes the task off again.
 */
export function onShutdown(task: Task, graceMs = 0): () => void {
  deadlineMs += graceMs;
  tasks.push(task);
  if (!listening) {
    listening = true;
    process.on('SIGTERM', () => exit(143));
    process.on('SIGINT', () => process.connected || exit(130));
  }
  return () => {
    const index = tasks.indexOf(task);
    if (index >= 0) tasks.splice(index, 1);
  };
}

/** The code that the process exits with once all is done that SIGTERM or SIGINT asks for. */
export function exitAfterShutdown(code: number): void {
  exitCode = code;
}

/** Runs what was registered, once, however often it is asked for; a task that fails does not stop the others. */
export function shutdown(): Promise<void> {
  running ??= (async () => {
    for (const task of tasks.splice(0).reverse()) {
      try {
        await task();
      } catch (error) {
        process.stderr.write(`shutdown: ${error instanceof Error ? error.message : error}\n`);
      }
    }
  })();
  return running;
}

function exit(code: number): void {
  setTimeout(() => process.exit(code), deadlineMs).unref();
  void shutdown().then(() => process.exit(exitCode));
}
