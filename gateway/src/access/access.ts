import {
  type Admit,
  bearerToken,
  type JsigrError,
  type Logger,
  permissionDenied,
  unauthenticated,
} from '@jsigr/service';
import type { WorkerCredentials } from '../workers/credentials.ts';
import { type Caller, includes, LOCAL, rememberCaller } from './caller.ts';
import type { TenantLimits } from './limits.ts';
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
  readonly logger: Logger;
}

const HINT = 'send `authorization: Bearer TOKEN`; the command takes it from --token or JSIGR_TOKEN';

export function signInFirst(): JsigrError {
  return unauthenticated('UNAUTHENTICATED', 'this gateway asks who calls', HINT);
}

/** Who calls, and may they? One instance for both faces. */
export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Must callers sign in? */
  async isClosed(): Promise<boolean> {
    for (const authenticator of this.#options.authenticators) if (await authenticator.isActive()) return true;
    return false;
  }

  /** Admits a gRPC call, and keeps its caller for the handler. */
  readonly admit: Admit = async ({ method, metadata }) => {
    if (ruleOf(method)?.needs === 'nobody') return;
    const caller = await this.authenticate(metadata.get('authorization').at(-1));
    this.authorize(method, caller);
    if (caller) rememberCaller(metadata, caller);
  };

  /**
   * @param authorization value of that header
   * @returns undefined for whoever shows nothing to a gateway that asks to sign in
   * @throws JsigrError UNAUTHENTICATED for a token that is not known, or not good any more
   */
  async authenticate(authorization: unknown): Promise<Caller | undefined> {
    const token = bearerToken(authorization);
    const worker = token === undefined ? undefined : await this.#options.workers.verify(token);
    if (worker) return worker;
    if (!(await this.isClosed())) return LOCAL;
    if (token === undefined) return undefined;
    for (const authenticator of this.#options.authenticators) {
      const caller = await authenticator.verify(token);
      if (caller) return caller;
    }
    throw unauthenticated('TOKEN_UNKNOWN', 'the token is not known here', HINT);
  }

  /** @throws JsigrError UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED */
  authorize(method: string, caller: Caller | undefined): void {
    const rule = ruleOf(method);
    if (rule?.needs === 'nobody') return;
    if (!caller) throw signInFirst();
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
