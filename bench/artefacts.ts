/**
 * `npm run bench:artefacts [-- --megabytes 500]`: a large checkpoint put into each kind of artefact store by one process, and read by a client through a gateway: how fast, and by how
 * much the memory of either grows. S3 is measured where JSIGR_TEST_S3 names a server (versitygw). Prints a table in Markdown.
 */
import { fork } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ModelServiceClient } from '@jsigr/proto';
import { type ArtefactPlace, connect, openArtefactStore, placeEnvironment, serverStream } from '@jsigr/service';
import { s3Program, startS3 } from '@jsigr/service/testing';
import { GatewayProcess } from '../tests/support/gateway-process.ts';
import { processorName } from './peers/machine.ts';

const MEGABYTE = 1e6;

interface Put {
  readonly digest: string;
  readonly seconds: number;
  /** Above what the process took with the bytes in its hands. */
  readonly growth: number;
}

/** Resident bytes of a process, those of files it has mapped left out. */
function memoryOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/RssAnon:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** The most that a process takes while something is done, above what it took before. */
async function growthOf<T>(pid: number, work: () => Promise<T>): Promise<[T, number]> {
  const before = memoryOf(pid);
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, memoryOf(pid));
  }, 20);
  try {
    return [await work(), most - before];
  } finally {
    clearInterval(timer);
  }
}

/** In the process of its own: puts the checkpoint, says how it went. */
async function put(megabytes: number): Promise<void> {
  const place = JSON.parse(process.env.PLACE ?? '') as ArtefactPlace;
  const store = await openArtefactStore(place);
  const weights = randomFillSync(Buffer.alloc(megabytes * MEGABYTE));
  const manifest = { model: { architecture: 'lenet', input: [1, 1, 1], classes: 2 } };
  const files = { 'manifest.json': Buffer.from(JSON.stringify(manifest)), 'weights.safetensors': weights };
  await store.put('models', { 'manifest.json': Buffer.from(JSON.stringify({ ...manifest, name: 'warm-up' })) });
  const began = performance.now();
  const [{ digest }, growth] = await growthOf(process.pid, () => store.put('models', files));
  process.send?.({ digest, growth, seconds: (performance.now() - began) / 1000 } satisfies Put);
  process.disconnect?.();
}

async function measure(name: string, place: ArtefactPlace, megabytes: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['--megabytes', String(megabytes)], {
    env: { ...process.env, PLACE: JSON.stringify(place) },
  });
  const [result] = (await once(child, 'message')) as [Put];
  await using gateway = new GatewayProcess(undefined, placeEnvironment(place));
  await gateway.start();
  const pid = gateway.process?.pid ?? 0;
  const models = connect(ModelServiceClient, { address: gateway.grpcAddress, token: tokenOf(gateway.data) });
  const read = async (path: string, readOffset: number) => {
    let bytes = 0;
    const began = performance.now();
    const request = { name: `models/${result.digest}`, path, readOffset };
    for await (const { data } of serverStream(models, 'readModelFile', request)) bytes += data.length;
    return { bytes, seconds: (performance.now() - began) / 1000 };
  };
  await read('manifest.json', 0);
  const rows: [string, number, number, number][] = [['put', megabytes * MEGABYTE, result.seconds, result.growth]];
  for (const [what, offset] of [
    ['first read through the gateway', 0],
    ['second read', 0],
    ['resumed in the middle', (megabytes * MEGABYTE) / 2],
  ] as const) {
    const [{ bytes, seconds }, growth] = await growthOf(pid, () => read('weights.safetensors', offset));
    if (bytes !== megabytes * MEGABYTE - offset) throw new Error(`${bytes} bytes came`);
    rows.push([what, bytes, seconds, growth]);
  }
  models.close();
  for (const [what, bytes, seconds, growth] of rows)
    process.stdout.write(
      `| ${name} | ${what} | ${(bytes / MEGABYTE).toFixed(0)} MB | ${(bytes / MEGABYTE / seconds).toFixed(0)} MB/s | ${(growth / MEGABYTE).toFixed(0)} MB |\n`,
    );
}

function tokenOf(data: string): string {
  return (JSON.parse(readFileSync(join(data, 'gateway.json'), 'utf8')) as { ownerToken: string }).ownerToken;
}

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '500' } } });
const megabytes = Number(values.megabytes);
if (process.send) await put(megabytes);
else {
  process.stdout.write(`${processorName()}, Node ${process.version}\n\n`);
  process.stdout.write('| store | what | size | speed | memory grows by |\n| --- | --- | ---: | ---: | ---: |\n');
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-bench-'));
  const server = s3Program ? await startS3() : undefined;
  try {
    await measure('directory', { artefacts: join(folder, 'artefacts') }, megabytes);
    if (server) {
      Object.assign(process.env, server.environment);
      const artefacts = `s3://${await server.newBucket()}/bench`;
      await measure('S3', { artefacts, s3: { endpoint: server.endpoint } }, megabytes);
    } else process.stdout.write('S3: not measured, JSIGR_TEST_S3 names no server\n');
  } finally {
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
