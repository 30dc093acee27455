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
  /** What it wrote to either of its outputs. */
  output = '';

  readonly #environment: Readonly<Record<string, string>>;

  /**
   * @param data of another gateway, to see what happens when two want it
   * @param environment variables besides those of this process
   */
  constructor(data?: string, environment: Readonly<Record<string, string>> = {}) {
    this.data = data ?? join(this.#temporary, 'data');
    this.#environment = environment;
  }

  /** @param options more of `jsigr up` */
  async start(...options: readonly string[]): Promise<this> {
    const ports = ['--port', '0', '--http-port', '0'];
    const child = spawn(process.execPath, [cli, 'up', '--data-dir', this.data, ...ports, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#environment },
    });
    this.process = child;
    // A test that is cut off leaves no gateway, and with it no workers, and no data.
    const cut = () => {
      child.kill('SIGKILL');
      rmSync(this.#temporary, { recursive: true, force: true });
    };
    process.once('exit', cut);
    child.once('exit', () => process.off('exit', cut));
    child.stderr?.on('data', (chunk) => (this.output += chunk));
    for await (const chunk of child.stdout ?? []) {
      this.output += chunk;
      if (/grpc/i.test(this.output) && /https?:\/\//.test(this.output)) break;
    }
    if (!/https?:\/\//.test(this.output)) {
      if (child.exitCode === null) await once(child, 'exit');
      throw new Error(`jsigr up ended with ${child.exitCode}: ${this.output}`);
    }
    child.stdout?.on('data', (chunk) => (this.output += chunk));
    const { grpcAddress, httpAddress } = JSON.parse(readFileSync(join(this.data, 'gateway.json'), 'utf8'));
    this.grpcAddress = grpcAddress;
    this.httpAddress = httpAddress;
    return this;
  }

  /** @returns how it ended: its exit code, or the signal that ended it */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    const child = this.process;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, 'exit');
    }
    return child?.exitCode ?? child?.signalCode ?? null;
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
