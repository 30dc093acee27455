import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Linux counts processor time in hundredths of a second. */
const TICKS = 100;

export interface Reading {
  /** Milliseconds of a steady clock. */
  readonly at: number;
  /** Processor seconds that all processes have used on the cores that this one may run on, other guests of the host included. */
  readonly all: number;
  /** Those of the processes asked for. */
  readonly own: number;
}

/** What the machine and these processes have used so far. Needs /proc (Linux). */
export function readMachine(pids: readonly number[]): Reading {
  const granted = new Set(grantedCores().map((core) => `cpu${core}`));
  const lines = readFileSync('/proc/stat', 'utf8').split('\n');
  const all = lines.reduce((sum, line) => {
    const [name = '', ...fields] = line.split(/\s+/);
    if (!granted.has(name)) return sum;
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields.map(Number);
    return sum + (user + nice + system + irq + softirq + steal) / TICKS;
  }, 0);
  const own = pids.reduce((sum, pid) => sum + processSeconds(pid), 0);
  return { at: performance.now(), all, own };
}

/** Numbers of the cores that this process (and what it starts) may run on: `taskset` may have left it a few. */
function grantedCores(): number[] {
  const [, list = ''] = /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
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
