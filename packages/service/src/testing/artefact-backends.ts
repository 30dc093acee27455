import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe } from 'vitest';
import { openArtefactStore } from '../artefact-place.ts';
import type { ArtefactKind, ArtefactStore } from '../artefacts.ts';
import { type S3Server, s3Program, s3Skipped, startS3 } from './s3-server.ts';

/** What the tests of the artefact store run on: a store, and what lies below it on this machine's disk. */
export interface Backend {
  readonly name: 'directory' | 'S3';
  /** A new, empty store. @param root a folder for it, e.g. a small file system; a new one unless told */
  fresh(root?: string): Promise<void>;
  /** The store as another process would open it. */
  open(): Promise<ArtefactStore>;
  /** Where a file of an artefact lies; without a path, its index. */
  placeOf(kind: ArtefactKind, digest: string, path?: string): string;
  /** Leaves behind what a put that is killed leaves behind, of so many bytes. */
  breakOff(bytes: number): Promise<void>;
  /** Whatever lies there beside whole artefacts. */
  leftovers(): Promise<string[]>;
  clear(): Promise<void>;
}

const DIGEST = 'd'.repeat(64);

/** The same tests on each kind of store. Where JSIGR_TEST_S3 names no S3 server its part is skipped. */
export function onEachStore(tests: (backend: Backend) => void): void {
  describe('in a directory', () => tests(directoryBackend()));
  describe.skipIf(!s3Program)(`in a bucket of an S3 server${s3Skipped}`, () => {
    const backend = s3Backend();
    beforeAll(() => backend.begin());
    afterAll(() => backend.end());
    tests(backend);
  });
}

function directoryBackend(): Backend {
  let own: string | undefined;
  let root = '';
  return {
    name: 'directory',
    async fresh(given) {
      own = given === undefined ? mkdtempSync(join(tmpdir(), 'jsigr-artefacts-')) : undefined;
      root = given ?? own ?? '';
    },
    open: () => openArtefactStore({ artefacts: root }),
    placeOf: (kind, digest, path = '.index.json') => join(root, kind, digest, path),
    async breakOff(bytes) {
      mkdirSync(join(root, '.partial', 'broken'), { recursive: true });
      writeFileSync(join(root, '.partial', 'broken', 'a.bin'), new Uint8Array(bytes));
    },
    leftovers: async () => (existsSync(join(root, '.partial')) ? readdirSync(join(root, '.partial')) : []),
    async clear() {
      if (own) rmSync(own, { recursive: true, force: true });
    },
  };
}

function s3Backend(): Backend & { begin(): Promise<void>; end(): Promise<void> } {
  let shared: S3Server;
  let server: S3Server;
  let bucket = '';
  const below = (...parts: string[]) => join(server.folder, bucket, 'some/prefix', ...parts);
  const names = (...parts: string[]) => (existsSync(below(...parts)) ? readdirSync(below(...parts)) : []);
  const versionsOf = (kind: string, digest: string) => names(kind, 'index', digest).map((name) => name.slice(0, -5));
  return {
    name: 'S3',
    async begin() {
      shared = await startS3();
    },
    end: () => shared?.close(),
    async fresh(root) {
      server = root === undefined ? shared : await startS3(root);
      Object.assign(process.env, server.environment);
      bucket = await server.newBucket();
    },
    open: () =>
      openArtefactStore({
        artefacts: `s3://${bucket}/some/prefix`,
        s3: { endpoint: server.endpoint, pathStyle: true },
      }),
    placeOf(kind, digest, path) {
      const [version = ''] = versionsOf(kind, digest);
      return path === undefined
        ? below(kind, 'index', digest, `${version}.json`)
        : below(kind, 'files', digest, version, path);
    },
    async breakOff(bytes) {
      const Body = new Uint8Array(Math.floor(bytes / 2));
      const rest = new Uint8Array(bytes - Body.length);
      const target = (path: string) => ({ Bucket: bucket, Key: `some/prefix/models/files/${DIGEST}/broken/${path}` });
      await server.client.send(new PutObjectCommand({ ...target('a.bin'), Body }));
      const { UploadId } = await server.client.send(new CreateMultipartUploadCommand(target('b.bin')));
      await server.client.send(new UploadPartCommand({ ...target('b.bin'), UploadId, PartNumber: 1, Body: rest }));
    },
    async leftovers() {
      const files = names().flatMap((kind) =>
        names(kind, 'files').flatMap((digest) =>
          names(kind, 'files', digest).filter((id) => !versionsOf(kind, digest).includes(id)),
        ),
      );
      const { Uploads = [] } = await server.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return [...files, ...Uploads.map(({ Key = '' }) => Key)];
    },
    async clear() {
      if (server !== shared) await server.close();
    },
  };
}

/** Makes it as if the file had been written some time ago. */
export function age(place: string, ms: number): void {
  const time = new Date(Date.now() - ms);
  utimesSync(place, time, time);
}
