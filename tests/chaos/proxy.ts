import { once } from 'node:events';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';

/** Where connections lead to and what they are treated as. */
export interface Destination {
  /** host:port */
  readonly address: string;
  readonly group: string;
}

/** What bytes of a group of connections meet. */
export interface Weather {
  /** Each piece that is read waits so long before it is passed on, in milliseconds. */
  readonly delayMs: number;
  readonly bytesPerSecond: number;
}

const FAIR: Weather = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };
const LONGEST_PRELUDE = 300;

interface Link {
  readonly group: string;
  readonly ends: readonly [Socket, Socket];
  /** The next piece is passed on by half, then nothing more. */
  doomed: boolean;
}

/** A TCP proxy on loopback that delays, throttles, truncates and cuts what goes through it, by groups of connections. */
export class ChaosProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #weather = new Map<string, Weather>();
  readonly #destination: (asked: string) => Destination;

  private constructor(server: Server, destination: (asked: string) => Destination) {
    this.#server = server;
    this.#destination = destination;
  }

  /**
   * @param destination of a new connection
   * @param asks the first line of each connection says where it wants to go (`host:port`) and is not passed on; else `destination` is asked with an empty text
   */
  static async open(
    destination: (asked: string) => Destination,
    { asks = false }: { readonly asks?: boolean } = {},
  ): Promise<ChaosProxy> {
    const server = createServer();
    const proxy = new ChaosProxy(server, destination);
    server.on('connection', (socket) => {
      socket.on('error', () => socket.destroy());
      void proxy.#accept(socket, asks).catch(() => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** host:port */
  get address(): string {
    const bound = this.#server.address();
    return typeof bound === 'object' && bound ? `127.0.0.1:${bound.port}` : '';
  }

  /** Connections of a group that are open. */
  count(group: string): number {
    return this.#of(group).length;
  }

  /** From now on, for the connections that are open and those to come; without change: as if there were no proxy. */
  weather(group: string, change: Partial<Weather> = {}): void {
    this.#weather.set(group, { ...FAIR, ...change });
  }

  cut(group: string): void {
    for (const link of this.#of(group)) close(link);
  }

  /** Of each connection that is open the next piece, in either direction, breaks off in its middle, and the connection with it. */
  truncate(group: string): void {
    for (const link of this.#of(group)) link.doomed = true;
  }

  async close(): Promise<void> {
    for (const link of this.#links) close(link);
    this.#server.close();
    await once(this.#server, 'close');
  }

  #of(group: string): Link[] {
    return [...this.#links].filter((link) => link.group === group);
  }

  async #accept(from: Socket, asks: boolean): Promise<void> {
    const { address, group } = this.#destination(asks ? await firstLine(from) : '');
    const [host = '', port] = address.split(/:(?=\d+$)/);
    const to = dial({ host, port: Number(port) });
    to.on('error', () => to.destroy());
    const link: Link = { group, ends: [from, to], doomed: false };
    this.#links.add(link);
    to.once('close', () => close(link));
    from.once('close', () => {
      close(link);
      this.#links.delete(link);
    });
    if (from.destroyed) return close(link);
    await Promise.all([this.#pass(link, from, to), this.#pass(link, to, from)]);
  }

  async #pass(link: Link, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        const { delayMs, bytesPerSecond } = this.#weather.get(link.group) ?? FAIR;
        const waitMs = delayMs + (piece.length / bytesPerSecond) * 1000;
        if (waitMs > 0) await setTimeout(waitMs);
        if (link.doomed) {
          to.end(piece.subarray(0, Math.ceil(piece.length / 2)), () => close(link));
          return;
        }
        if (!to.write(piece) && !to.destroyed) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
      to.end();
    } catch {
      close(link);
    }
  }
}

function close({ ends }: Link): void {
  for (const end of ends) end.destroy();
}

async function firstLine(socket: Socket): Promise<string> {
  const read: Buffer[] = [];
  for (;;) {
    const piece: Buffer | null = socket.read(1);
    if (!piece) {
      if (socket.destroyed || socket.readableEnded) throw new Error('a connection ended before it said where to');
      await Promise.race([once(socket, 'readable'), once(socket, 'close')]);
      continue;
    }
    if (piece[0] === 10) return Buffer.concat(read).toString();
    read.push(piece);
    if (read.length > LONGEST_PRELUDE) throw new Error('a connection did not say where to');
  }
}
