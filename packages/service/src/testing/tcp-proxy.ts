import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Forwards connections to a server on loopback, and cuts them where a test wants it. */
export class TcpProxy {
  /** How many bytes a connection may take from the client, and give to it, before it is cut; none unless told. */
  up = Number.POSITIVE_INFINITY;
  down = Number.POSITIVE_INFINITY;
  /** How many connections may still be cut; after that they all work. */
  cuts = Number.POSITIVE_INFINITY;
  onCut: () => void = () => {};
  /** Refuses everything from now on. */
  isClosed = false;
  readonly #server;
  readonly #sockets = new Set<Socket>();

  constructor(target: number) {
    this.#server = createServer((client) => {
      if (this.isClosed) return void client.destroy();
      const server = connect(target, '127.0.0.1');
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          server.destroy();
        });
      }
      const cutAfter = (from: Socket, limit: () => number) => {
        let bytes = 0;
        from.on('data', (chunk) => {
          bytes += chunk.length;
          if (bytes <= limit() || this.cuts <= 0) return;
          this.cuts--;
          this.onCut();
          client.destroy();
          server.destroy();
        });
      };
      cutAfter(client, () => this.up);
      cutAfter(server, () => this.down);
      client.pipe(server);
      server.pipe(client);
    });
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** The server is gone: connections are cut, and new ones too. */
  vanish(): void {
    this.isClosed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.vanish();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
