import { type JsigrError, unauthenticated, unavailable } from '@jsigr/service';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import * as z from 'zod';
import type { Authenticator } from './access.ts';
import { type Caller, type Role, roles } from './caller.ts';
import { type RoleMap, roleFrom } from './roles.ts';
import { tenantSchema } from './tenant.ts';
import { trustworthyUrl } from './trustworthy-url.ts';

export interface OidcOptions {
  /** As in the claim `iss`, an https URL (http on this machine only). */
  readonly issuer: string;
  /** Must be among the claim `aud`. */
  readonly audience: string;
  /** Claim that says the roles: a text or a list; `jsigr_role` unless told. */
  readonly roleClaim?: string;
  /** What its values mean, e.g. `{ "ml-engineers": "runner" }`; absent: viewer, runner, admin mean themselves. */
  readonly roles?: RoleMap;
  /** Claim that says the tenant; `jsigr_tenant` unless told. */
  readonly tenantClaim?: string;
}

/** Signatures by a key pair alone: a shared secret, or none at all, is no proof of an issuer. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const CLOCK_TOLERANCE_S = 30;
const DISCOVERY_MS = 5000;
const LARGEST_TOKEN = 16_384;

const discoverySchema = z.looseObject({ issuer: z.string(), jwks_uri: trustworthyUrl });
const identityRoles: RoleMap = Object.fromEntries(roles.map((role) => [role, role]));

/** JSON Web Tokens of one OpenID Connect issuer, verified with the keys that it publishes. */
export class Oidc implements Authenticator {
  readonly name = 'OIDC';
  readonly #options: OidcOptions;
  #keys: Promise<JWTVerifyGetKey> | undefined;

  constructor(options: OidcOptions) {
    this.#options = options;
  }

  async isActive(): Promise<boolean> {
    return true;
  }

  async verify(token: string): Promise<Caller | undefined> {
    const { issuer, audience } = this.#options;
    if (token.length > LARGEST_TOKEN || (await issuerOf(token)) !== issuer) return undefined;
    const keys = await this.#keySource();
    const { jwtVerify } = await jose();
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['exp', 'sub'],
    }).catch(async (error: unknown) => {
      throw await refused(error);
    });
    return { subject: `oidc/${payload.sub}`, role: this.#role(payload), tenant: this.#tenant(payload) };
  }

  #role(payload: JWTPayload): Role {
    const { roleClaim = 'jsigr_role', roles: known = identityRoles } = this.#options;
    const claim = payload[roleClaim];
    const role = roleFrom(known, Array.isArray(claim) ? claim.map(String) : [String(claim ?? '')]);
    if (role) return role;
    throw unauthenticated('NO_ROLE', `the token's claim ${roleClaim} names no role that is known here`);
  }

  #tenant(payload: JWTPayload): string {
    const { tenantClaim = 'jsigr_tenant' } = this.#options;
    const tenant = tenantSchema.safeParse(payload[tenantClaim]);
    if (tenant.success) return tenant.data;
    throw unauthenticated('NO_TENANT', `the token's claim ${tenantClaim} is no tenant's name`);
  }

  /** Where the keys are is asked once; a failure is asked again by the next call. */
  #keySource(): Promise<JWTVerifyGetKey> {
    this.#keys ??= discover(this.#options.issuer).catch(async (error: unknown) => {
      this.#keys = undefined;
      throw await refused(error);
    });
    return this.#keys;
  }
}

async function discover(issuer: string): Promise<JWTVerifyGetKey> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(DISCOVERY_MS), redirect: 'error' });
  const found = discoverySchema.parse(await response.json());
  if (found.issuer !== issuer) throw new Error(`${url} is of the issuer ${found.issuer}`);
  const { createRemoteJWKSet } = await jose();
  return createRemoteJWKSet(new URL(found.jwks_uri), { timeoutDuration: DISCOVERY_MS });
}

/** Loaded by who needs it: many gateways have no issuer. */
function jose() {
  return import('jose');
}

async function issuerOf(token: string): Promise<string | undefined> {
  const { decodeJwt } = await jose();
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

async function refused(error: unknown): Promise<JsigrError> {
  const { errors } = await jose();
  if (error instanceof errors.JWTExpired) return unauthenticated('TOKEN_EXPIRED', 'the token expired', 'sign in again');
  const why = error instanceof Error ? error.message : String(error);
  return error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)
    ? unauthenticated('TOKEN_INVALID', `the token is not good: ${why}`)
    : unavailable('ISSUER_UNREACHABLE', `the token cannot be checked: ${why}`, 'try again soon');
}
