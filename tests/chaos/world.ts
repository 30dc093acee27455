import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { directoryArtefactStore } from '@jsigr/service';
import type { PostgresServer } from '../../gateway/src/testing/postgres-server.ts';
import { GatewayProcess, workersOf } from '../support/gateway-process.ts';
import { leftBehind } from './observe.ts';
import { ChaosProxy } from './proxy.ts';

const MEBIBYTE = 2 ** 20;
const FILLER = 'filler';

/** Settings of the gateways of the chaos test, undisturbed or not: results depend on none of them. */
export const settings: Readonly<Record<string, string>> = {
  JSIGR_TRAININGS_AT_ONCE: '2',
  JSIGR_THREADS: '2',
};
const disturbed: Readonly<Record<string, string>> = {
  ...settings,
  JSIGR_STATE_SECONDS: '0.2',
  JSIGR_GRACE_SECONDS: '5',
  // Nobody who is killed so often has a fair chance.
  JSIGR_RETRIES: '100',
};

export interface WorldOptions {
  /** Data directory that this one begins as. */
  readonly template: string;
  readonly postgres?: { readonly server: PostgresServer; readonly url: string } | undefined;
  /** A file system of limited size holds the artefacts; else a quota of the store's own limits them. */
  readonly mounts: boolean;
  /** What the artefact store may hold, in bytes. */
  readonly storeBytes: number;
  /** Of workers. */
  readonly leaseSeconds: number;
}

/** A gateway with its workers, database and disk, and everything that disturbs them. */
export class World {
  readonly gateway: GatewayProcess;
  readonly postgres: PostgresServer | undefined;
  readonly leaseSeconds: number;
  readonly #clock: string;
  readonly #temporary: string;
  readonly #storeBytes: number;
  readonly #outer: ChaosProxy;
  readonly #inner: ChaosProxy;
  /** Folder that a file system of limited size is mounted on. */
  readonly #mounted: string | undefined;
  readonly #unmount = () => void execFileSync('umount', ['--lazy', this.#mounted ?? '']);
  /** Gives back the space that `fillDisk` took. */
  #empty: (() => Promise<unknown>) | undefined;

  private constructor(parts: {
    readonly gateway: GatewayProcess;
    readonly postgres: PostgresServer | undefined;
    readonly clock: string;
    readonly temporary: string;
    readonly proxies: readonly [ChaosProxy, ChaosProxy];
    readonly mounted: string | undefined;
    readonly storeBytes: number;
    readonly leaseSeconds: number;
  }) {
    this.gateway = parts.gateway;
    this.postgres = parts.postgres;
    this.#clock = parts.clock;
    this.#temporary = parts.temporary;
    [this.#outer, this.#inner] = parts.proxies;
    this.#mounted = parts.mounted;
    this.#storeBytes = parts.storeBytes;
    this.leaseSeconds = parts.leaseSeconds;
    if (this.#mounted) process.once('exit', this.#unmount);
  }

  static async open({ template, postgres, mounts, storeBytes, leaseSeconds }: WorldOptions): Promise<World> {
    const environment: Record<string, string> = { ...disturbed, JSIGR_LEASE_SECONDS: String(leaseSeconds) };
    const gateway = new GatewayProcess(undefined, environment);
    const beside = dirname(gateway.data);
    const [clock, temporary] = [join(beside, 'clock'), join(beside, 'tmp')];
    mkdirSync(temporary);
    writeFileSync(clock, '0');
    const databasePort = postgres ? new URL(postgres.url).port : '';
    const isGateway = (address: string) => address.split(':').at(-1) === gateway.grpcAddress.split(':').at(-1);
    const groupOf = (address: string) => {
      if (databasePort && address.endsWith(`:${databasePort}`)) return 'database';
      return isGateway(address) ? 'registrations' : 'workers';
    };
    const outer = await ChaosProxy.open(() => ({ address: gateway.grpcAddress, group: 'clients' }));
    const inner = await ChaosProxy.open((address) => ({ address, group: groupOf(address) }), { asks: true });
    const artefacts = join(gateway.data, 'artefacts');
    mkdirSync(artefacts, { recursive: true, mode: 0o700 });
    const mounted = mounts ? artefacts : undefined;
    if (mounted) mount(mounted, storeBytes);
    const inside = new URL('inside.ts', import.meta.url);
    Object.assign(environment, {
      NODE_OPTIONS: `--import=${inside}`,
      JSIGR_CHAOS_CLOCK: clock,
      JSIGR_CHAOS_PROXY: inner.address,
      TMPDIR: temporary,
      ...(postgres ? { JSIGR_DATABASE_URL: postgres.url } : {}),
      ...(mounted ? {} : { JSIGR_ARTEFACT_BYTES: String(storeBytes) }),
    });
    const world = new World({
      gateway,
      postgres: postgres?.server,
      clock,
      temporary,
      proxies: [outer, inner],
      mounted,
      storeBytes,
      leaseSeconds,
    });
    for (const name of readdirSync(template))
      cpSync(join(template, name), join(gateway.data, name), { recursive: true });
    return world;
  }

  /** Where clients find the gateway, through all of its lives. */
  get address(): string {
    return this.#outer.address;
  }

  /** The proxy that connections of a group go through. */
  proxyOf(group: string): ChaosProxy {
    return group === 'clients' ? this.#outer : this.#inner;
  }

  /** Process ids of the workers that live. @param kind of all kinds unless told */
  async workers(kind = ''): Promise<number[]> {
    const pids = await workersOf(this.gateway.data);
    return pids.filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`services/${kind}`);
      } catch {
        return false; // it has ended
      }
    });
  }

  /** @param ms by which the wall clock of the gateway and its workers is wrong from now on */
  setClock(ms: number): void {
    writeFileSync(this.#clock, String(Math.round(ms)));
  }

  /** From now on nothing can be put into the artefact store, until `emptyDisk`. */
  async fillDisk(): Promise<void> {
    if (this.#empty) return;
    if (this.#mounted) {
      const path = join(this.#mounted, FILLER);
      this.#empty = async () => rmSync(path, { force: true });
      try {
        writeFileSync(path, Buffer.alloc(this.#storeBytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    } else {
      const store = directoryArtefactStore(join(this.gateway.data, 'artefacts'));
      const filler = Buffer.alloc(this.#storeBytes);
      // Never the same bytes: to put what is there already writes nothing.
      filler.set(randomBytes(16));
      const { digest } = await store.put('examples', { [FILLER]: filler });
      this.#empty = () => store.remove('examples', digest);
    }
  }

  async emptyDisk(): Promise<void> {
    await this.#empty?.();
    this.#empty = undefined;
  }

  /** Fair weather, the right time, and room on the disk. */
  async heal(): Promise<void> {
    for (const group of ['clients', 'registrations', 'workers', 'database']) this.proxyOf(group).weather(group);
    this.setClock(0);
    await this.emptyDisk();
  }

  /** After the gateway has stopped. */
  leftBehind(): Promise<string[]> {
    return leftBehind(this.gateway.data, this.#temporary);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await this.workers()) resume(pid);
    await this.gateway.stop('SIGKILL');
    for (const pid of await this.workers()) kill(pid);
    await this.#outer.close();
    await this.#inner.close();
    if (this.#mounted) this.#unmount();
    process.off('exit', this.#unmount);
    await this.gateway[Symbol.asyncDispose]();
  }
}

/** Can this process mount a file system of limited size? */
export function canMount(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    mount(folder, MEBIBYTE);
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function mount(folder: string, bytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'jsigr-chaos', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** @returns false when the process has ended */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
const resume = (pid: number) => signal(pid, 'SIGCONT');
const kill = (pid: number) => signal(pid, 'SIGKILL');
