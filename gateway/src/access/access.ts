import { createHash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { type Admit, bearerToken, JsigrError, type Logger, permissionDenied, unauthenticated } from '@jsigr/service';
import { Lru } from '@jsigr/service/compute';
import type { WorkerCredentials } from '../workers/credentials.ts';
import { type Caller, includes, LOCAL, rememberCaller } from './caller.ts';
import type { TenantLimits } from './limits.ts';
import type { Strangers } from './strangers.ts';
import { ruleOf } from './table.ts';

/** One way to sign in. */
export interface Authenticator {
  /** E.g. `static tokens`. */
  readonly name: string;
  /** Does it ask anybody? Static tokens do once there is one. */
  isActive(): Promise<boolean>;
  /** The caller; undefined for a token of another kind. @throws JsigrError UNAUTHENTICATED for one of its own kind that is not (any more) good. */
  verify(token: string): Promise<Caller | undefined>;
}

export interface AccessOptions {
  readonly authenticators: readonly Authenticator[];
  readonly workers: WorkerCredentials;
  readonly limits: TenantLimits;
  readonly strangers: Strangers;
  readonly logger: Logger;
}

/** Tokens that were good are remembered, hashed: they are looked at however many other calls of their address fail. */
const MOST_REMEMBERED = 10_000;

const HINT = 'send `authorization: Bearer TOKEN`; the command takes it from --token or JSIGR_TOKEN';

/** Who calls, and may they? One instance for both faces. */
export class Access {
  readonly #options: AccessOptions;
  /** False: it was good once. */
  readonly #good = new Lru<boolean>(MOST_REMEMBERED);
  /** Tokens that were not good before are looked up once for all the calls that show them at the same time. */
  readonly #lookUps = new Map<string, Promise<Caller>>();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Must callers sign in? */
  async isClosed(): Promise<boolean> {
    for (const authenticator of this.#options.authenticators) if (await authenticator.isActive()) return true;
    return false;
  }

  /** Admits a gRPC call, and keeps its caller for the handler. */
  readonly admit: Admit = async ({ method, metadata, address }) => {
    if (ruleOf(method)?.needs === 'nobody') return;
    const caller = await this.authenticate(metadata.get('authorization').at(-1), address);
    this.authorize(method, caller, address);
    if (caller) rememberCaller(metadata, caller);
  };

  /**
   * @param authorization value of that header
   * @param address of the peer
   * @returns undefined for whoever shows nothing to a gateway that asks to sign in
   * @throws JsigrError UNAUTHENTICATED for a token that is not known, or not good any more; RESOURCE_EXHAUSTED for an address from which too many of those came
   */
  async authenticate(authorization: unknown, address: string): Promise<Caller | undefined> {
    const { strangers, workers } = this.#options;
    const token = bearerToken(authorization);
    // The gateway's own workers are known without asking anybody: nobody else's failures keep them out.
    const worker = token === undefined ? undefined : workers.verifyOwn(token);
    if (worker) return worker;
    if (token === undefined) {
      strangers.demandRoom(address);
      return (await this.isClosed()) ? undefined : LOCAL;
    }
    const key = createHash('sha256').update(token).digest('base64');
    const isKnown = this.#good.get(key);
    if (!isKnown) strangers.demandRoom(address);
    try {
      const caller = await (isKnown ? this.#byToken(token) : this.#lookUp(key, token, address));
      this.#good.set(key, true);
      return caller;
    } catch (error) {
      if (JsigrError.from(error).code === status.UNAUTHENTICATED) {
        if (this.#good.get(key)) this.#good.set(key, false);
        strangers.count(address);
      }
      throw error;
    }
  }

  /** For whoever shows nothing where everybody has to sign in. @param address of the peer */
  signInFirst(address: string): JsigrError {
    this.#options.strangers.count(address);
    return unauthenticated('UNAUTHENTICATED', 'this gateway asks who calls', HINT);
  }

  #lookUp(key: string, token: string, address: string): Promise<Caller> {
    const running = this.#lookUps.get(key);
    if (running) return running;
    const lookUp = this.#options.strangers
      .during(address, () => this.#byToken(token))
      .finally(() => this.#lookUps.delete(key));
    this.#lookUps.set(key, lookUp);
    return lookUp;
  }

  async #byToken(token: string): Promise<Caller> {
    const worker = await this.#options.workers.verify(token);
    if (worker) return worker;
    // A way in that cannot be asked keeps nobody out who comes by one before it: the owner of the data directory.
    if (!(await this.isClosed().catch(() => true))) return LOCAL;
    for (const authenticator of this.#options.authenticators) {
      const caller = await authenticator.verify(token);
      if (caller) return caller;
    }
    throw unauthenticated('TOKEN_UNKNOWN', 'the token is not known here', HINT);
  }

  /** @param address of the peer @throws JsigrError UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED */
  authorize(method: string, caller: Caller | undefined, address: string): void {
    const rule = ruleOf(method);
    if (rule?.needs === 'nobody') return;
    if (!caller) throw this.signInFirst(address);
    const allowed = rule && (rule.needs === 'worker' ? caller.role === 'worker' : includes(caller.role, rule.needs));
    if (allowed) {
      if (caller.role !== 'worker') this.#options.limits.request(caller.tenant);
      return;
    }
    const { subject, role, tenant } = caller;
    this.#options.logger.warn({ audit: 'denied', subject, role, tenant, method }, 'a call was denied');
    throw permissionDenied(
      'ROLE_TOO_LOW',
      rule ? `${method} needs the role ${rule.needs}; ${subject} has ${role}` : `${method} is nobody's to call`,
    );
  }
}
