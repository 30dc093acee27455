import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failedPrecondition } from '@jsigr/service/client';
import { freePort } from '@jsigr/service/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Gateways } from './gateways.ts';
import { jsigr } from './testing/command.ts';
import { type FakeGateway, noGateways, startFakeGateway } from './testing/fake-gateway.ts';
import { fakeTerminal } from './testing/fake-terminal.ts';

let home: string;
let gateway: FakeGateway;
/** Tokens that the gateway was shown. */
let shown: unknown[];
let closed: number;
let asked: unknown[];
beforeEach(async () => {
  [shown, asked, closed] = [[], [], 0];
  home = await mkdtemp(join(tmpdir(), 'jsigr-home-'));
  gateway = await startFakeGateway({
    training: {
      listTrainingRuns: ({ metadata }, callback) => {
        shown.push(...metadata.get('authorization'));
        callback(null, { trainingRuns: [], nextPageToken: '' });
      },
    },
  });
});
afterEach(async () => {
  gateway.close();
  await rm(home, { recursive: true });
});

const terminalWith = (input = '') => fakeTerminal({ env: { HOME: home }, input: async () => input });
const cluster = (): Gateways => ({
  ...noGateways,
  forward: async (options) => {
    asked.push(options);
    return { grpcAddress: gateway.address, serverName: 'jsigr-gateway.jsigr.svc', close: async () => void closed++ };
  },
});

describe('--context', () => {
  it('goes to the gateway in that cluster, with the token kept for it, and leaves nothing open', async () => {
    await jsigr(['login', 'context/prod'], { terminal: terminalWith('secret\n') });
    const line = ['--context', 'prod', '--namespace', 'vision', 'runs', 'list', '-o', 'json'];
    const { code, err } = await jsigr(line, { terminal: terminalWith(), gateways: cluster() });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect([asked, shown, closed]).toEqual([[{ context: 'prod', namespace: 'vision' }], ['Bearer secret'], 1]);
  });

  it('that fails says why, and no other gateway is asked', async () => {
    const forward = async () => {
      throw failedPrecondition('NO_GATEWAY', 'there is no Service jsigr-gateway', 'install it');
    };
    const { code, err } = await jsigr(['--context', 'prod', 'runs', 'list'], {
      terminal: terminalWith(),
      gateways: { ...noGateways, forward },
    });
    expect(code).toBe(4);
    expect(err).toBe('jsigr: there is no Service jsigr-gateway\nhint: install it\n');
  });
});

describe('a data directory that another command has just taken', () => {
  const taken = async () => {
    throw failedPrecondition('DATA_DIRECTORY_IN_USE', 'another gateway (process 1) is just starting on it');
  };

  it('is joined once the gateway of that command is up', async () => {
    let looks = 0;
    const find = async () => (++looks < 3 ? undefined : { grpcAddress: gateway.address, embedded: false });
    const terminal = terminalWith();
    const { code, err } = await jsigr(['runs', 'list'], { terminal, gateways: { ...noGateways, find, start: taken } });
    expect([code, err, looks, terminal.waits.length]).toEqual([0, '', 3, 2]);
  });

  it('is an error where it stays so', async () => {
    const find = async () => undefined;
    const { code, err } = await jsigr(['runs', 'list'], {
      terminal: terminalWith(),
      gateways: { ...noGateways, find, start: taken },
    });
    expect([code, err]).toEqual([4, 'jsigr: another gateway (process 1) is just starting on it\n']);
  });

  it('is looked at again where that gateway was gone before anything was asked of it', async () => {
    const port = await freePort();
    let looks = 0;
    const find = async () => ({ grpcAddress: ++looks < 3 ? `127.0.0.1:${port}` : gateway.address, embedded: true });
    const { code, err } = await jsigr(['runs', 'list'], {
      terminal: terminalWith(),
      gateways: { ...noGateways, find },
    });
    expect([code, err, looks]).toEqual([0, '', 3]);
  });
});
