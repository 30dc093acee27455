import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually, residentMegabytes } from './processes.js';
const program = fileURLToPath(new URL('../../gateway/dist/main.js', import.meta.url));
/** Starts a gateway as it is installed, and ends it. @param idleMs how long it is left alone before its memory is read; 0: it is not read */
export async function coldStart(dataDirectory, databaseUrl, idleMs) {
    const began = performance.now();
    const child = spawn(process.execPath, [program], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: {
            ...process.env,
            JSIGR_DATA_DIRECTORY: dataDirectory,
            JSIGR_GRPC_PORT: '0',
            JSIGR_HTTP_PORT: '0',
            JSIGR_LOG_LEVEL: 'error',
            ...(databaseUrl === undefined ? {} : { JSIGR_DATABASE_URL: databaseUrl }),
        },
    });
    const ended = once(child, 'exit');
    try {
        await eventually(() => isReady(dataDirectory, child.pid ?? 0), 5, 60_000);
        const readyMs = performance.now() - began;
        if (idleMs === 0)
            return { readyMs, idleMB: undefined };
        await setTimeout(idleMs);
        return { readyMs, idleMB: residentMegabytes(child.pid ?? 0) };
    }
    finally {
        child.kill('SIGTERM');
        await ended;
    }
}
/** A gateway that was killed may have left its address; one that has the directory writes its own down once it listens. */
async function isReady(dataDirectory, pid) {
    const { httpAddress, pid: owner } = JSON.parse(readFileSync(join(dataDirectory, 'gateway.json'), 'utf8'));
    if (owner !== pid || httpAddress === undefined)
        return undefined;
    const { ok } = await fetch(`http://${httpAddress}/readyz`);
    return ok ? true : undefined;
}
