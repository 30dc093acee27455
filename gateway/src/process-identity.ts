import { readFile } from 'node:fs/promises';

/** Process ids are used again, in containers after a moment: the time a process began tells it from its successors. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly processStart: string;
}

/** When a process began, in the system's own units (Linux: clock ticks since boot); empty where the system does not say. */
export async function processStart(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Field 22; the second field is the name in brackets, which may hold spaces.
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Whether the process is there, and is the one that was meant. */
export async function isAlive({ pid, processStart: began }: ProcessIdentity): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return began === '' || began === (await processStart(pid));
}
