import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Linux counts processor time in hundredths of a second. */
const TICKS = 100;

export interface Reading {
  /** Milliseconds of a steady clock. */
  readonly at: number;
  /** Processor seconds that all processes of the machine have used, other guests of the host included. */
  readonly all: number;
  /** Those of the processes asked for. */
  readonly own: number;
}

/** What the machine and these processes have used so far. Needs /proc (Linux). */
export function readMachine(pids: readonly number[]): Reading {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  const own = pids.reduce((sum, pid) => sum + processSeconds(pid), 0);
  return { at: performance.now(), all: (user + nice + system + irq + softirq + steal) / TICKS, own };
}

function processSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may hold anything; user and system time are the 12th and 13th field after it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

export interface Span {
  readonly seconds: number;
  /** Cores that the own processes kept busy. */
  readonly ownCores: number;
  /** Cores that everything else kept busy. */
  readonly otherCores: number;
}

export function between(before: Reading, after: Reading): Span {
  const seconds = (after.at - before.at) / 1000;
  const own = after.own - before.own;
  return { seconds, ownCores: own / seconds, otherCores: Math.max(0, after.all - before.all - own) / seconds };
}

export function processorName(): string {
  const all = cpus();
  return `${all.length} x ${all[0]?.model ?? 'unknown processor'}`;
}
