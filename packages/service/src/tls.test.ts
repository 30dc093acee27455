import { once } from 'node:events';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TLSSocket } from 'node:tls';
import { credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js';
import { ExplainerServiceClient, ExplainerServiceService, ExplainImageRequest } from '@jsigr/proto';
import { service as healthService } from 'grpc-health-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { JsigrError } from './errors.ts';
import { connect, unary } from './grpc-client.ts';
import { type GrpcServer, startGrpcServer } from './grpc-server.ts';
import { LIVE } from './grpc-strategy.ts';
import { type Authority, authority } from './testing/certificates.ts';
import { openTls, type Tls, type TlsFiles } from './tls.ts';

const LOOK_MS = 20;
const logged: string[] = [];
const logger = {
  info: (_: object, message: string) => void logged.push(message),
  error: (_: object, message: string) => void logged.push(message),
};

let folder: string;
let ours: Authority;
let theirs: Authority;
const open: (() => unknown)[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-tls-'));
  ours = authority(folder, 'ours');
  theirs = authority(folder, 'theirs');
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});
afterAll(() => rm(folder, { recursive: true }));

async function tls(files: TlsFiles): Promise<Tls> {
  const opened = await openTls(files, logger, LOOK_MS);
  open.push(() => opened.close());
  return opened;
}

class Nothing {}

async function serve(files: TlsFiles, healthPort?: number): Promise<GrpcServer> {
  const server = await startGrpcServer({
    module: { module: Nothing },
    services: { 'jsigr.v1.ExplainerService': ExplainerServiceService },
    host: '127.0.0.1',
    port: 0,
    tls: await tls(files),
    healthPort,
  });
  open.push(() => server.close(0));
  return server;
}

/** The code of a call: UNIMPLEMENTED says that it arrived. */
async function call({ address }: GrpcServer, files?: TlsFiles): Promise<status> {
  const client = connect(ExplainerServiceClient, { address, tls: files && (await tls(files)).client });
  open.push(() => client.close());
  return unary(client, 'explainImage', ExplainImageRequest.fromPartial({}), { deadlineMs: 2000 }).then(
    () => status.OK,
    (error) => JsigrError.from(error).code,
  );
}

const ARRIVED = status.UNIMPLEMENTED;

describe('TLS', () => {
  test('is believed by those who know the authority, and by nobody else', async () => {
    const server = await serve(ours.issue('server'));
    expect(await call(server, { ca: ours.certificate })).toBe(ARRIVED);
    expect(await call(server, { ca: theirs.certificate })).not.toBe(ARRIVED);
    expect(await call(server, {})).not.toBe(ARRIVED);
    expect(await call(server)).not.toBe(ARRIVED);
  });

  test('is not believed of a server under another name, unless that name is expected', async () => {
    const server = await serve(ours.issue('elsewhere', ['DNS:gateway.example']));
    expect(await call(server, { ca: ours.certificate })).not.toBe(ARRIVED);
    expect(await call(server, { ca: ours.certificate, serverName: 'gateway.example' })).toBe(ARRIVED);
  });

  test('of both sides lets in who shows a certificate of the authority', async () => {
    const server = await serve({ ...ours.issue('server'), clientCa: ours.certificate });
    const ca = ours.certificate;
    expect(await call(server, { ca, ...ours.issue('client') })).toBe(ARRIVED);
    expect(await call(server, { ca, ...theirs.issue('stranger') })).not.toBe(ARRIVED);
    expect(await call(server, { ca })).not.toBe(ARRIVED);
  });
});

test('beside TLS a port for probes says whether the server serves, and nothing else', async () => {
  const server = await serve({ ...ours.issue('server'), clientCa: ours.certificate }, 0);
  const address = server.healthAddress ?? '';
  expect(address).not.toBe(server.address);
  const Health = makeGenericClientConstructor(healthService, 'grpc.health.v1.Health');
  const probe = new Health(address, credentials.createInsecure());
  open.push(() => probe.close());
  const says = (service = '') =>
    new Promise((resolve) =>
      probe.check?.({ service }, (error: Error | null, answer: object) => resolve(error ?? answer)),
    );
  expect(await says()).toMatchObject({ status: 'SERVING' });
  server.setServing(false);
  expect(await says()).toMatchObject({ status: 'NOT_SERVING' });
  // Whoever would kill the process asks about the process.
  expect(await says(LIVE)).toMatchObject({ status: 'SERVING' });
  expect(await call({ ...server, address })).toBe(ARRIVED);
});

describe('a certificate that is replaced', () => {
  test('is shown to new connections over gRPC, and half a pair is not', async () => {
    const files = { certificate: join(folder, 'live.crt'), key: join(folder, 'live.key') };
    const put = async (pair: { certificate: string; key: string }) => {
      await copyFile(pair.certificate, files.certificate);
      await copyFile(pair.key, files.key);
    };
    await put(ours.issue('first'));
    const server = await serve(files);
    expect(await call(server, { ca: ours.certificate })).toBe(ARRIVED);

    logged.length = 0;
    const next = theirs.issue('second');
    await copyFile(next.certificate, files.certificate);
    await expect.poll(() => logged.join()).toMatch(/the ones before stay in use/);
    expect(await call(server, { ca: ours.certificate })).toBe(ARRIVED);

    await put(next);
    await expect.poll(() => logged.join()).toMatch(/new connections get the new ones/);
    expect(await call(server, { ca: theirs.certificate })).toBe(ARRIVED);
    expect(await call(server, { ca: ours.certificate })).not.toBe(ARRIVED);
  });

  test('is shown to new connections over HTTPS', async () => {
    const [certificate, key] = [join(folder, 'web.crt'), join(folder, 'web.key')];
    const put = async (pair: { certificate: string; key: string }) => {
      await copyFile(pair.key, key);
      await copyFile(pair.certificate, certificate);
    };
    await put(ours.issue('first'));
    const opened = await tls({ certificate, key });
    const server = createServer(
      opened.secureOptions((changed) => server.setSecureContext(changed)),
      (_, response) => response.end(),
    ).listen(0, '127.0.0.1');
    open.push(() => server.close());
    await once(server, 'listening');
    const subject = () =>
      new Promise<string>((resolve, reject) => {
        const { port } = server.address() as { port: number };
        request({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }, (response) => {
          resolve(String((response.socket as TLSSocket).getPeerCertificate().subject.CN));
          response.resume();
        })
          .on('error', reject)
          .end();
      });
    expect(await subject()).toBe('first');
    await put(ours.issue('second'));
    await expect.poll(subject).toBe('second');
  });
});

describe('files that cannot be used', () => {
  const pair = () => ours.issue('good');
  test.each<[string, () => Promise<TlsFiles> | TlsFiles, string]>([
    ['are missing', () => ({ ...pair(), certificate: join(folder, 'nowhere.crt') }), 'nowhere.crt'],
    ['are no certificates', async () => ({ ...pair(), ca: await text('no certificate') }), 'text.pem'],
    ['are no pair', () => ({ ...pair(), key: theirs.issue('other').key }), 'good.crt'],
    ['are half a pair', () => ({ certificate: pair().certificate }), 'tls.key'],
  ])('because they %s are said by name', async (_, files, named) => {
    await expect(openTls(await files(), logger)).rejects.toThrow(named);
  });

  test('a server has a certificate', async () => {
    const opened = await tls({ ca: ours.certificate });
    expect(() => opened.serverCredentials()).toThrow(/a server needs a certificate/);
  });
});

async function text(content: string): Promise<string> {
  const file = join(folder, 'text.pem');
  await writeFile(file, content);
  return file;
}
