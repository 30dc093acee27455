import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { pump, receive } from './pump.ts';

/** A call whose client takes so many messages and nothing more. */
class StalledCall extends EventEmitter {
  readonly cancelled = false;
  readonly written: number[] = [];
  readonly #takes: number;
  ended = false;

  constructor(takes: number) {
    super();
    this.#takes = takes;
  }

  write(message: number): boolean {
    this.written.push(message);
    return this.written.length <= this.#takes;
  }

  end(): void {
    this.ended = true;
  }
}

test('a client that takes nothing any more is let go, and the source with it', async () => {
  let closed = false;
  async function* source() {
    try {
      for (let i = 1; ; i++) yield i;
    } finally {
      closed = true;
    }
  }
  const call = new StalledCall(2);
  const errors: { code?: number; details?: string }[] = [];
  call.on('error', (error) => errors.push(error));
  await pump(call as unknown as ServerWritableStream<unknown, number>, source(), 50);
  expect(call.written).toEqual([1, 2, 3]);
  expect(errors).toMatchObject([{ code: status.RESOURCE_EXHAUSTED, details: expect.stringMatching(/0\.05 s/) }]);
  await expect.poll(() => closed).toBe(true);
  expect(call.ended).toBe(false);
});

test('a client that takes nothing any more holds no stream open, and what waited for it is dropped', async () => {
  const bytes = (message: Buffer) => message;
  const flood = {
    ...{ path: '/test/Flood', requestStream: false, responseStream: true },
    ...{ requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes },
  } as const;
  async function* source() {
    for (;;) yield Buffer.alloc(256 * 1024);
  }
  const server = new Server();
  const pumped: Promise<void>[] = [];
  server.addService(
    { flood },
    { flood: (call: ServerWritableStream<Buffer, Buffer>) => void pumped.push(pump(call, source(), 100)) },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const call = client.makeServerStreamRequest(flood.path, bytes, bytes, Buffer.alloc(0));
  const ended = new Promise<{ code?: number }>((resolve) => call.on('error', resolve));
  await expect.poll(() => pumped.length).toBe(1);
  await pumped[0];
  // It waits for open streams, and would wait for ever.
  const shut = new Promise((resolve) => server.tryShutdown(resolve));
  await shut;
  call.resume();
  expect(await ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  client.close();
});

test('a client that is slow is waited for', async () => {
  const call = new StalledCall(0);
  const draining = setInterval(() => call.emit('drain'), 10);
  async function* source() {
    for (let i = 1; i <= 5; i++) yield i;
  }
  await pump(call as unknown as ServerWritableStream<unknown, number>, source(), 1000);
  clearInterval(draining);
  expect(call.written).toEqual([1, 2, 3, 4, 5]);
  expect(call.ended).toBe(true);
});

test('a client that sends nothing more is let go', async () => {
  const call = new PassThrough({ objectMode: true });
  call.write('the first message');
  const received: unknown[] = [];
  const answers: unknown[] = [];
  const body = async (messages: AsyncIterable<unknown>) => {
    for await (const message of messages) received.push(message);
  };
  await receive(call as unknown as ServerReadableStream<unknown, void>, (error) => answers.push(error), body, 50);
  expect(received).toEqual(['the first message']);
  expect(answers).toMatchObject([
    { code: status.RESOURCE_EXHAUSTED, details: expect.stringMatching(/nothing was sent for 0\.05 s/) },
  ]);
});
