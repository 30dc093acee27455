import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:https';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

const PROTOCOL = 'v4.channel.k8s.io';
const [BINARY, CLOSE, PING, PONG] = [0x2, 0x8, 0x9, 0xa];
const ACCEPT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * The part of a kubelet that the API server sends port-forwards to: WebSockets (RFC 6455) whose first byte of a message is a channel, 0 for data and 1 for
 * errors; each channel begins with the port as two bytes. All pods are on this machine, so the port of the pod is that of the machine.
 * @returns the port
 */
export async function servePortForwards(tls: ServerOptions): Promise<number> {
  const server = createServer(tls, (_, response) => response.writeHead(404).end());
  server.on('upgrade', (request, socket: Duplex) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'https://kubelet');
    const port = Number(searchParams.get('port'));
    if (!pathname.startsWith('/portForward/') || !(port > 0)) return void socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${ACCEPT}`).digest('base64');
    const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
    socket.write(
      [...head, `Sec-WebSocket-Accept: ${accept}`, `Sec-WebSocket-Protocol: ${PROTOCOL}`, '', ''].join('\r\n'),
    );
    forward(socket, port);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

function forward(webSocket: Duplex, port: number): void {
  const send = (opcode: number, payload: Buffer) => webSocket.write(Buffer.concat([headOf(opcode, payload), payload]));
  const tell = (channel: number, data: Buffer) => send(BINARY, Buffer.concat([Buffer.of(channel), data]));
  const name = Buffer.of(port & 0xff, port >> 8);
  for (const channel of [0, 1]) tell(channel, name);
  const pod = connect(port, '127.0.0.1');
  pod.on('data', (data) => tell(0, data));
  pod.on('error', (error) => tell(1, Buffer.from(error.message)));
  pod.on('close', () => {
    send(CLOSE, Buffer.alloc(0));
    webSocket.end();
  });
  webSocket.on('error', () => pod.destroy());
  webSocket.on('close', () => pod.destroy());
  let rest = Buffer.alloc(0);
  webSocket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = firstFrame(rest); frame; frame = firstFrame(rest)) {
      rest = rest.subarray(frame.length);
      if (frame.opcode === PING) send(PONG, frame.payload);
      if (frame.opcode === CLOSE) pod.end();
      if (frame.opcode === BINARY && frame.payload[0] === 0) pod.write(frame.payload.subarray(1));
    }
  });
}

function headOf(opcode: number, { length }: Buffer): Buffer {
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = length;
  else if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return head;
}

/** What clients send is masked. Undefined: more bytes must come. */
function firstFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  const [first = 0, second = 0] = bytes;
  const short = second & 0x7f;
  const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
  const start = 2 + lengthBytes + 4;
  if (bytes.length < start) return undefined;
  const size = lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < start + size) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + size));
  for (let i = 0; i < size; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0);
  return { opcode: first & 0xf, payload, length: start + size };
}
