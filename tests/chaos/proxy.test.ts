import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChaosProxy } from './proxy.ts';

let echo: Server;
let proxy: ChaosProxy;
const sockets: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const bound = echo.address();
  const address = `127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`;
  proxy = await ChaosProxy.open((asked) => ({ address: asked || address, group: asked ? 'asked' : 'all' }));
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await proxy.close();
  echo.close();
});

/** A connection through the proxy, and what came back over it so far. */
async function open(first = ''): Promise<{ socket: Socket; got: () => number }> {
  const [host, port] = proxy.address.split(':');
  const socket = connect({ host, port: Number(port) });
  sockets.push(socket);
  let count = 0;
  socket.on('error', () => {});
  socket.on('data', (piece) => {
    count += piece.length;
  });
  await once(socket, 'connect');
  if (first) socket.write(first);
  return { socket, got: () => count };
}

describe('the proxy of the chaos test', () => {
  it('passes everything on in fair weather', async () => {
    const { socket, got } = await open();
    socket.write(Buffer.alloc(3_000_000));
    await expect.poll(got).toBe(3_000_000);
  });

  it('goes where the first line says, which it keeps for itself', async () => {
    const bound = echo.address();
    await proxy.close();
    proxy = await ChaosProxy.open((address) => ({ address, group: 'asked' }), { asks: true });
    const { socket, got } = await open(`127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}\n`);
    socket.write('word');
    await expect.poll(got).toBe(4);
    expect(proxy.count('asked')).toBe(1);
  });

  it('holds back what it delays', async () => {
    const { socket, got } = await open();
    proxy.weather('all', { delayMs: 3_600_000 });
    socket.write('word');
    const other = await open();
    await expect.poll(() => proxy.count('all')).toBe(2);
    expect([got(), other.got()]).toEqual([0, 0]);
  });

  it('breaks a message off in its middle', async () => {
    const { socket, got } = await open();
    socket.write('first');
    await expect.poll(got).toBe(5);
    proxy.truncate('all');
    socket.write(Buffer.alloc(1000));
    await once(socket, 'close');
    // Half went there; what came back of that half was halved again, or did not come.
    expect(got()).toBeLessThan(505);
    await expect.poll(() => proxy.count('all')).toBe(0);
  });

  it('cuts one group and leaves the others', async () => {
    const { socket } = await open();
    await expect.poll(() => proxy.count('all')).toBe(1);
    proxy.cut('others');
    expect(proxy.count('all')).toBe(1);
    proxy.cut('all');
    await once(socket, 'close');
  });
});
