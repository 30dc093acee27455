import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { credentialsFile, tokenFor } from './credentials.ts';
import { jsigr } from './testing/command.ts';
import { fakeTerminal } from './testing/fake-terminal.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jsigr-home-'));
});
afterEach(() => rm(home, { recursive: true }));

const terminalWith = (env: Record<string, string> = {}, input = '') =>
  fakeTerminal({ env: { HOME: home, ...env }, input: async () => input });
const plain = { output: 'table' } as const;

describe('the token for a gateway', () => {
  it('is that of --token, else of JSIGR_TOKEN, else the one that login kept', async () => {
    const login = await jsigr(['login', 'host:1', '-o', 'json'], { terminal: terminalWith({}, 'kept\n') });
    expect([login.code, JSON.parse(login.out)]).toEqual([0, { file: credentialsFile(terminalWith()) }]);
    const terminal = terminalWith({ JSIGR_TOKEN: 'variable' });
    expect(await tokenFor('host:1', { ...plain, token: 'option' }, terminal)).toBe('option');
    expect(await tokenFor('host:1', plain, terminal)).toBe('variable');
    expect(await tokenFor('host:1', plain, terminalWith())).toBe('kept');
    expect(await tokenFor('host:2', plain, terminalWith())).toBeUndefined();
  });

  it('lies in a file for its owner alone, and is not taken from one that others may read', async () => {
    const terminal = terminalWith({ JSIGR_TOKEN: 'secret' });
    await jsigr(['login', 'host:1'], { terminal });
    const file = credentialsFile(terminal);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await chmod(file, 0o640);
    await expect(tokenFor('host:1', plain, terminalWith())).rejects.toMatchObject({ reason: 'CREDENTIALS_OPEN' });
  });

  it('that is none is not repeated in the error', async () => {
    const { code, err } = await jsigr(['login', 'host:1', '--token', 'two words'], { terminal: terminalWith() });
    expect(code).toBe(2);
    expect(err).not.toContain('two words');
  });
});

describe('jsigr tokens', () => {
  it('makes, lists and revokes the tokens of a data directory', async () => {
    const line = (...words: string[]) => jsigr(['tokens', ...words, '--data-dir', home, '-o', 'json']);
    const made = JSON.parse((await line('create', 'ci', '--role', 'viewer', '--tenant', 'vision', '--days', '3')).out);
    expect(made).toMatchObject({
      name: 'ci',
      role: 'viewer',
      tenant: 'vision',
      token: expect.stringMatching(/^jsigr_/),
    });
    expect(await readFile(join(home, 'tokens.json'), 'utf8')).not.toContain(made.token);
    const listed = JSON.parse((await line('list')).out);
    expect(listed).toMatchObject([{ id: made.id, name: 'ci' }]);
    expect(listed[0]).not.toHaveProperty('sha256');
    const revoked = await line('revoke', made.id);
    expect([revoked.code, JSON.parse(revoked.out)]).toEqual([0, { id: made.id }]);
    expect(JSON.parse((await line('list')).out)).toEqual([]);
    expect((await line('revoke', made.id)).code).toBe(3);
  });
});
