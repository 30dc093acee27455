import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A cable between a client and a server, by TCP, that can be pulled out. */
export class Cable {
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections that were made through it. */
  connections = 0;
  /** Whoever connects is cut off at once. */
  isOut = false;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((near) => {
      this.connections++;
      if (this.isOut) return void near.destroy();
      const far = connect(Number(this.#target.port), this.#target.hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
  }

  /** @param url of the server */
  static async to(url: string): Promise<Cable> {
    const cable = new Cable(new URL(url));
    await once(cable.#server.listen(0, '127.0.0.1'), 'listening');
    return cable;
  }

  /** Where clients connect to. */
  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the cable is not there');
    return `${this.#target.protocol}//127.0.0.1:${address.port}`;
  }

  /** Cuts what is connected; who connects again gets through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }
}
