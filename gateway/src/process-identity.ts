import { readFile } from 'node:fs/promises';

/** Process ids are used again, in containers after a moment: the time a process began tells it from its successors. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly processStart: string;
}

/** When a process began, in the system's own units (Linux: clock ticks since boot); empty where the system does not say. */
export async function processStart(pid: number): Promise<string> {
  return (await fieldsOf(pid))[19] ?? '';
}

/** Whether the process is there, runs, and is the one that was meant. */
export async function isAlive({ pid, processStart: began }: ProcessIdentity): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const fields = await fieldsOf(pid);
  // Killed, but nobody has asked how it ended: in a container without an init process that stays so.
  if (fields[0] === 'Z') return false;
  return began === '' || began === (fields[19] ?? '');
}

/** Fields of Linux' /proc/PID/stat from the third on, the state; the second is the name in brackets, which may hold spaces. */
async function fieldsOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
