import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { S3Client } from '@aws-sdk/client-s3';
import { freePort } from './free-port.ts';

const run = promisify(execFile);

/** Path of the program `versitygw` (`go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`); tests that need it are skipped without. */
export const s3Program = process.env.JSIGR_TEST_S3 || undefined;
export const s3Skipped = s3Program ? '' : ' (skipped: JSIGR_TEST_S3 does not name an S3 server)';

const REGION = 'us-east-1';

/** An S3 server of the tests' own, on loopback: objects are files of a folder, so that tests can see and spoil what it keeps. */
export interface S3Server {
  readonly endpoint: string;
  readonly port: number;
  /** Of the folders of all buckets. */
  readonly folder: string;
  /** Of the owner of everything, for the environment of processes. */
  readonly environment: Readonly<Record<string, string>>;
  newBucket(): Promise<string>;
  /** Somebody who may do nothing so far. */
  newUser(): Promise<Readonly<Record<string, string>>>;
  /** The owner's. */
  readonly client: S3Client;
  close(): Promise<void>;
}

/** @param folder for the objects; a new one unless told */
export async function startS3(folder?: string): Promise<S3Server> {
  if (!s3Program) throw new Error('JSIGR_TEST_S3 must be the path of versitygw');
  const program = s3Program;
  const own = mkdtempSync(join(tmpdir(), 'jsigr-s3-'));
  const objects = folder ?? join(own, 'objects');
  for (const each of [objects, join(own, 'metadata'), join(own, 'accounts')]) mkdirSync(each, { recursive: true });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const root = { access: 'jsigr-root', secret: 'root-secret-of-these-tests' };
  const signIn = ['--access', root.access, '--secret', root.secret];
  const server: ChildProcess = spawn(
    program,
    [
      ...['--port', `127.0.0.1:${port}`, '--region', REGION, ...signIn, '--iam-dir', join(own, 'accounts'), '--quiet'],
      ...['posix', '--sidecar', join(own, 'metadata'), objects],
    ],
    { stdio: 'ignore' },
  );
  let failure = '';
  server.once('error', (error) => (failure = error.message));
  for (let attempt = 0; !(await answers(endpoint)); attempt++) {
    if (failure || server.exitCode !== null || attempt > 200)
      throw new Error(`${program} did not start: ${failure || `exit code ${server.exitCode}`}`);
    await setTimeout(50);
  }
  const environment = environmentOf(root);
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: root.access, secretAccessKey: root.secret },
  });
  let count = 0;
  return {
    ...{ endpoint, port, folder: objects, environment, client },
    async newBucket() {
      const bucket = `bucket-${++count}`;
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      return bucket;
    },
    async newUser() {
      const user = { access: `user-${++count}`, secret: `secret-of-user-${count}` };
      const account = ['--access', user.access, '--secret', user.secret, '--role', 'user'];
      await run(program, ['admin', ...signIn, '--endpoint-url', endpoint, 'create-user', ...account]);
      return environmentOf(user);
    },
    async close() {
      if (server.exitCode === null && server.signalCode === null) {
        server.kill('SIGKILL');
        await once(server, 'exit');
      }
      rmSync(own, { recursive: true, force: true });
    },
  };
}

function environmentOf({ access, secret }: { access: string; secret: string }): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret, AWS_REGION: REGION };
}

async function answers(endpoint: string): Promise<boolean> {
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}
