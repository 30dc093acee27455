import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../cli/bin/jsigr.js', import.meta.url));

/** `jsigr up` as a user starts it: a process of its own, from `dist`, on free ports and a new data directory. */
export class GatewayProcess {
  readonly #temporary = mkdtempSync(join(tmpdir(), 'jsigr-scenario-'));
  readonly data: string;
  grpcAddress = '';
  httpAddress = '';
  process: ChildProcess | undefined;

  /** @param data of another gateway, to see what happens when two want it */
  constructor(data?: string) {
    this.data = data ?? join(this.#temporary, 'data');
  }

  async start(): Promise<this> {
    const child = spawn(process.execPath, [cli, 'up', '--data-dir', this.data, '--port', '0', '--http-port', '0'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process = child;
    let output = '';
    child.stderr?.on('data', (chunk) => (output += chunk));
    for await (const chunk of child.stdout ?? []) {
      output += chunk;
      if (/grpc/i.test(output) && /http:\/\//.test(output)) break;
    }
    if (!/http:\/\//.test(output)) {
      if (child.exitCode === null) await once(child, 'exit');
      throw new Error(`jsigr up ended with ${child.exitCode}: ${output}`);
    }
    child.stdout?.on('data', () => {});
    const { grpcAddress, httpAddress } = JSON.parse(readFileSync(join(this.data, 'gateway.json'), 'utf8'));
    this.grpcAddress = grpcAddress;
    this.httpAddress = httpAddress;
    return this;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.process;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, 'exit');
    }
    return child?.exitCode ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

/** Processes of this checkout's services whose environment names the data directory, by /proc; empty when nothing was left running. */
export async function workersOf(data: string): Promise<number[]> {
  const { readdirSync } = await import('node:fs');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('services/') &&
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes(data)
        );
      } catch {
        return false; // gone, or another user's
      }
    })
    .map(Number);
}
