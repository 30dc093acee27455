import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { authority } from '@jsigr/service/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayProcess } from './support/gateway-process.ts';

// A gateway as an operator runs it for others: mutual TLS on every connection, tokens, real workers.
const cli = fileURLToPath(new URL('../cli/bin/jsigr.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'jsigr-secure-'));
const { certificate: ca, issue } = authority(folder);
const gateway = new GatewayProcess();
const shown = (name: string) => {
  const { certificate, key } = issue(name);
  return ['--tls-ca', ca, '--tls-certificate', certificate, '--tls-key', key];
};

async function jsigr(line: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [cli, ...line], { env: { PATH: process.env.PATH, HOME: folder, ...env } });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, out, err };
}

let token: string;
let client: string[];
beforeAll(async () => {
  const made = await jsigr(['tokens', 'create', 'ci', '--data-dir', gateway.data, '-o', 'json']);
  token = JSON.parse(made.out).token;
  client = shown('client');
  process.env.JSIGR_LOG_LEVEL = 'trace';
  await gateway.start('--host', '0.0.0.0', '--tls-client-ca', ca, ...shown('server'));
}, 180_000);
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

describe('a gateway with mutual TLS and tokens', () => {
  const remote = (...more: string[]) => ['models', 'list', '-o', 'json', '--server', gateway.grpcAddress, ...more];

  test('lets in who shows a certificate and a token', async () => {
    expect(await jsigr(remote(...client), { JSIGR_TOKEN: token })).toMatchObject({ code: 0 });
    expect(await jsigr(remote(...client, '--token', `${token}x`))).toMatchObject({ code: 6 });
    expect(await jsigr(remote(...client))).toMatchObject({ code: 6, err: expect.stringContaining('--token') });
    expect(await jsigr(remote('--tls-ca', ca), { JSIGR_TOKEN: token })).toMatchObject({ code: 5 });
    expect(await jsigr(remote(), { JSIGR_TOKEN: token })).toMatchObject({ code: 5 });
  });

  test('trains and attacks with workers that speak the same way, and writes down who wanted it', async () => {
    const line = 'train --dataset glyphs --architecture mlp --objective standard --epochs 1 --feedback none';
    const attack = '--attack fgsm:0.1 --samples 8 -o json';
    const ran = await jsigr([...`${line} ${attack}`.split(' '), '--data-dir', gateway.data, ...client]);
    expect(ran.err).toBe('');
    expect(ran.out).toContain('robustnessReported');
    expect(ran.out).toContain('RUN_STATE_SUCCEEDED');
    const lines = readFileSync(join(gateway.data, 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((each) => JSON.parse(each));
    expect(gateway.output).toContain('starting a trainer');
    const secrets = /worker\.[0-9a-f-]{36}\.|owner\.[\w-]{20}|jsigr_[0-9a-f]{8}_|BEGIN [A-Z ]*PRIVATE/;
    expect(`${gateway.output}${ran.out}`).not.toMatch(secrets);
    expect(lines).toMatchObject([
      {
        subject: expect.stringMatching(/^user\//),
        method: 'jsigr tokens create',
        resource: expect.stringMatching(/ci/),
      },
      { subject: 'owner', method: 'jsigr.v1.TrainingService/CreateTrainingRun' },
    ]);
  }, 180_000);
});
