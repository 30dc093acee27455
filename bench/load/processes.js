import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
const TICKS = 100;
/** @param options handed to the program as JSON */
export async function start(program, options, execArgv = []) {
    const child = fork(fileURLToPath(new URL(program, import.meta.url)), [JSON.stringify(options)], {
        execArgv: [...execArgv],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const ended = once(child, 'exit');
    const first = await Promise.race([once(child, 'message'), ended.then(() => undefined)]);
    if (!first)
        throw new Error(`${program} ended before it was ready`);
    return {
        process: child,
        pid: child.pid ?? 0,
        ready: first[0],
        async stop() {
            child.kill('SIGTERM');
            await ended;
        },
    };
}
/** Processor seconds that a process has used. */
export function processorSeconds(pid) {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
/** Resident memory of a process in megabytes (10^6 bytes). */
export function residentMegabytes(pid) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024) / 1e6;
}
/** What a process's memory grew by, at its highest, while the work went on. Looked at twenty times a second. */
export async function growthDuring(pid, work) {
    const beforeMB = residentMegabytes(pid);
    let highest = beforeMB;
    const timer = setInterval(() => {
        highest = Math.max(highest, residentMegabytes(pid));
    }, 50);
    try {
        const result = await work();
        highest = Math.max(highest, residentMegabytes(pid));
        return { result, beforeMB, growthMB: highest - beforeMB };
    }
    finally {
        clearInterval(timer);
    }
}
/** Cores that programs which are not this benchmark's kept busy while the work went on. */
export async function othersDuring(work) {
    const before = { all: machineSeconds(), own: familySeconds(), at: performance.now() };
    const result = await work();
    const seconds = (performance.now() - before.at) / 1000;
    const other = machineSeconds() - before.all - (familySeconds() - before.own);
    return { result, otherCores: Math.max(0, other / seconds) };
}
/** Processor seconds of the whole machine, other guests of the host included. */
function machineSeconds() {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softirq + steal) / TICKS;
}
/** Processor seconds of this process and all that descend from it, those that have ended included. */
function familySeconds() {
    const parents = new Map();
    for (const name of readdirSync('/proc')) {
        if (!/^\d+$/.test(name))
            continue;
        try {
            const text = readFileSync(`/proc/${name}/stat`, 'utf8');
            // The name, in brackets, may hold anything. Times of children count once they were waited for.
            const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
            const seconds = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / TICKS;
            parents.set(Number(name), { parent: Number(fields[1]), seconds });
        }
        catch {
            // It ended meanwhile.
        }
    }
    const isOurs = (pid) => pid === process.pid || (pid > 1 && isOurs(parents.get(pid)?.parent ?? 0));
    return [...parents].filter(([pid]) => isOurs(pid)).reduce((sum, [, { seconds }]) => sum + seconds, 0);
}
/** Waits until the work gives something else than undefined. */
export async function eventually(work, everyMs, withinMs) {
    for (const until = performance.now() + withinMs;;) {
        const found = await work().catch(() => undefined);
        if (found !== undefined)
            return found;
        if (performance.now() > until)
            throw new Error(`nothing came within ${withinMs / 1000} s`);
        await setTimeout(everyMs);
    }
}
