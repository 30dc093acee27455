import { failedPrecondition, sameSecret } from '@jsigr/service';
import { isLoopback } from '../loopback.ts';
import type { Authenticator } from './access.ts';
import { LOCAL } from './caller.ts';
import { Kubernetes, type KubernetesOptions } from './kubernetes.ts';
import { Oidc, type OidcOptions } from './oidc.ts';
import { TokenFile, tokensFile } from './tokens.ts';

/** The ways to sign in that a gateway offers; each that is named is offered. */
export interface AccessSettings {
  /** File of static tokens; `tokens.json` in the data directory unless told. */
  readonly tokensFile?: string;
  readonly oidc?: OidcOptions;
  readonly kubernetes?: KubernetesOptions;
  /** Calls without a good sign-in that one address may make in a minute; `FAILED_SIGN_INS_PER_MINUTE` unless told. */
  readonly failedSignInsPerMinute?: number;
}

export interface AccessPlace {
  readonly access: AccessSettings;
  readonly dataDirectory: string;
  readonly host: string;
}

/** In the order in which a token is shown to them. */
export function authenticatorsOf({ access, dataDirectory }: Omit<AccessPlace, 'host'>): Authenticator[] {
  return [
    new TokenFile(access.tokensFile ?? tokensFile(dataDirectory)),
    ...(access.oidc ? [new Oidc(access.oidc)] : []),
    ...(access.kubernetes ? [new Kubernetes(access.kubernetes)] : []),
  ];
}

/** The token of the one who owns the data directory. It asks nobody to sign in. */
export function ownerToken(secret: string): Authenticator {
  return {
    name: 'owner',
    isActive: async () => false,
    verify: async (token) => (sameSecret(token, secret) ? { ...LOCAL, subject: 'owner' } : undefined),
  };
}

/** @throws JsigrError NOBODY_SIGNS_IN for an address that others can reach while nobody has to sign in */
export async function checkHost(place: AccessPlace): Promise<void> {
  const { host, dataDirectory } = place;
  if (isLoopback(host)) return;
  for (const authenticator of authenticatorsOf(place)) if (await authenticator.isActive()) return;
  throw failedPrecondition(
    'NOBODY_SIGNS_IN',
    `${JSON.stringify(host)} can be reached from other machines, and nobody would have to sign in`,
    `make a token first (jsigr tokens create ME --role admin --data-dir ${dataDirectory}), set up OIDC or Kubernetes TokenReview, or listen on 127.0.0.1`,
  );
}
