import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { failedPrecondition, invalidArgument, notFound, unauthenticated } from '@jsigr/service/client';
import * as z from 'zod';
import { DEFAULT_TENANT } from '../store/schema.ts';
import type { Authenticator } from './access.ts';
import { type Command, openAudit } from './audit.ts';
import type { Caller } from './caller.ts';
import { roles } from './caller.ts';
import { tenantSchema } from './tenant.ts';

const DAY_MS = 86_400_000;
const PREFIX = 'jsigr';

const entrySchema = z.strictObject({
  /** Names the token; part of it, and no secret. */
  id: z.string().regex(/^[a-z0-9]{8}$/),
  /** For people. */
  name: z.string().min(1).max(100),
  role: z.enum(roles),
  tenant: tenantSchema,
  /** Of the whole token, in hexadecimal. It has 256 random bits: nothing slower is needed. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  createTime: z.iso.datetime(),
  /** Absent: it does not expire. */
  expireTime: z.iso.datetime().optional(),
});
const fileSchema = z.strictObject({ tokens: z.array(entrySchema) });

export type TokenEntry = z.output<typeof entrySchema>;

export interface NewToken {
  readonly name: string;
  readonly role: (typeof roles)[number];
  readonly tenant?: string;
  /** 1..3650; absent: it does not expire. */
  readonly days?: number;
}

/** Where a gateway looks for its tokens unless told. */
export function tokensFile(dataDirectory: string): string {
  return join(dataDirectory, 'tokens.json');
}

/** Static tokens in a file, hashed. Commands change the file; a gateway that is up sees it at the next call. */
export class TokenFile implements Authenticator {
  readonly name = 'static tokens';
  readonly #path: string;
  readonly #now: () => Date;
  #seen: { readonly version: string; readonly entries: Promise<readonly TokenEntry[] | undefined> } | undefined;

  constructor(path: string, now: () => Date = () => new Date()) {
    this.#path = path;
    this.#now = now;
  }

  /** From the first token on everybody needs one, and still after the last was revoked. */
  async isActive(): Promise<boolean> {
    return (await this.#entries()) !== undefined;
  }

  async list(): Promise<readonly TokenEntry[]> {
    return (await this.#entries()) ?? [];
  }

  /** @returns the token itself too: it is not kept. @throws JsigrError INVALID_ARGUMENT naming the field */
  async create({ name, role, tenant = DEFAULT_TENANT, days }: NewToken): Promise<{ token: string; entry: TokenEntry }> {
    if (days !== undefined && !(Number.isInteger(days) && days >= 1 && days <= 3650))
      throw invalidArgument('days', `${days} given, an integer from 1 to 3650 allowed`);
    const id = randomBytes(5).toString('hex').slice(0, 8);
    const token = `${PREFIX}_${id}_${randomBytes(32).toString('base64url')}`;
    const now = this.#now();
    const entry = entrySchema.parse({
      id,
      name,
      role,
      tenant,
      sha256: digest(token).toString('hex'),
      createTime: now.toISOString(),
      ...(days === undefined ? {} : { expireTime: new Date(now.getTime() + days * DAY_MS).toISOString() }),
    });
    const entries = await this.list();
    this.#record('jsigr tokens create', entry);
    await this.#write([...entries, entry]);
    return { token, entry };
  }

  /** @throws JsigrError NOT_FOUND */
  async revoke(id: string): Promise<void> {
    const entries = await this.list();
    const revoked = entries.find((entry) => entry.id === id);
    if (!revoked) throw notFound('token', id, '`jsigr tokens list` shows what there is');
    this.#record('jsigr tokens revoke', revoked);
    await this.#write(entries.filter((entry) => entry.id !== id));
  }

  /** Before it is done, beside the file, where the gateway of that directory writes down what it changed. */
  #record(command: Command, { id, name, tenant }: TokenEntry): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const audit = openAudit(join(dirname(this.#path), 'audit.jsonl'), undefined, this.#now);
    audit.record({ subject: `user/${userName()}`, role: 'admin', tenant }, command, `tokens/${id} (${name})`);
    audit.close();
  }

  async verify(token: string): Promise<Caller | undefined> {
    const [, id] = /^jsigr_([a-z0-9]{8})_/.exec(token) ?? [];
    if (id === undefined) return undefined;
    const entry = (await this.list()).find((each) => each.id === id);
    if (!entry || !timingSafeEqual(Buffer.from(entry.sha256, 'hex'), digest(token)))
      throw unauthenticated('TOKEN_UNKNOWN', 'the token is not known here: it is of another gateway, or was revoked');
    if (entry.expireTime !== undefined && Date.parse(entry.expireTime) <= this.#now().getTime())
      throw unauthenticated(
        'TOKEN_EXPIRED',
        `the token ${id} expired on ${entry.expireTime}`,
        'ask an admin for a new one',
      );
    return { subject: `token/${entry.name}`, role: entry.role, tenant: entry.tenant };
  }

  /** Read again when the file is another one. @throws JsigrError TOKENS_UNUSABLE: nobody gets in by a file that makes no sense */
  async #entries(): Promise<readonly TokenEntry[] | undefined> {
    const found = await stat(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw this.#unusable(error.message);
    });
    const version = found ? `${found.ino} ${found.mtimeMs} ${found.size}` : '';
    if (this.#seen?.version !== version)
      this.#seen = { version, entries: found ? this.#read() : Promise.resolve(undefined) };
    return this.#seen.entries;
  }

  async #read(): Promise<readonly TokenEntry[]> {
    try {
      return fileSchema.parse(JSON.parse(await readFile(this.#path, 'utf8'))).tokens;
    } catch (error) {
      throw this.#unusable(error instanceof Error ? error.message : String(error));
    }
  }

  #unusable(why: string) {
    return failedPrecondition(
      'TOKENS_UNUSABLE',
      `the file of tokens ${this.#path} cannot be read: ${why}`,
      'restore it from a backup; until then it lets nobody in',
    );
  }

  async #write(tokens: readonly TokenEntry[]): Promise<void> {
    const partial = `${this.#path}.${randomBytes(6).toString('hex')}`;
    const file = await open(partial, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ tokens }, undefined, 2)}\n`);
      await file.sync();
    } catch (error) {
      await unlink(partial);
      throw error;
    } finally {
      await file.close();
    }
    await rename(partial, this.#path);
    this.#seen = undefined;
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown'); // a user without an entry in the list of users
  }
}
