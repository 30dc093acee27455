import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { unauthenticated, unavailable } from '@jsigr/service';
import * as z from 'zod';
import { DEFAULT_TENANT } from '../store/schema.ts';
import type { Authenticator } from './access.ts';
import type { Caller } from './caller.ts';
import { type RoleMap, roleFrom } from './roles.ts';
import { tenantSchema } from './tenant.ts';

export interface KubernetesOptions {
  /** https URL of the API server; that of the cluster the gateway runs in unless told. */
  readonly server?: string;
  /** File of its certificate authority, and of the token that may create TokenReviews; those of the pod unless told. */
  readonly caFile?: string;
  readonly tokenFile?: string;
  /** The token must be made out for it; `jsigr` unless told. */
  readonly audience?: string;
  /** Users and groups, and their roles, e.g. `{ "system:serviceaccounts:vision": "runner" }`. */
  readonly roles: RoleMap;
}

const POD = '/var/run/secrets/kubernetes.io/serviceaccount';
const TIMEOUT_MS = 5000;
const KNOWN_FOR_MS = 60_000;
const REFUSED_FOR_MS = 10_000;
const MOST_REMEMBERED = 1000;
const LARGEST_ANSWER = 1024 * 1024;
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):[^:]+$/;

const reviewSchema = z.looseObject({
  status: z.looseObject({
    authenticated: z.boolean().default(false),
    audiences: z.array(z.string()).default([]),
    // Of a token that nobody vouches for there is an empty one.
    user: z.looseObject({ username: z.string().default(''), groups: z.array(z.string()).default([]) }).optional(),
  }),
});
type Review = z.output<typeof reviewSchema>['status'];

/**
 * Tokens that the cluster's API server vouches for (TokenReview): service accounts and users. A service account's tenant is its namespace,
 * others' is `default`. An answer is remembered for a minute.
 */
export class Kubernetes implements Authenticator {
  readonly name = 'Kubernetes TokenReview';
  readonly #options: KubernetesOptions;
  readonly #now: () => number;
  readonly #remembered = new Map<string, { readonly until: number; readonly review: Review }>();

  constructor(options: KubernetesOptions, now: () => number = Date.now) {
    this.#options = options;
    this.#now = now;
  }

  async isActive(): Promise<boolean> {
    return true;
  }

  async verify(token: string): Promise<Caller | undefined> {
    const { audience = 'jsigr', roles } = this.#options;
    const { authenticated, audiences, user } = await this.#review(token, audience);
    if (!authenticated || !user?.username || !audiences.includes(audience)) return undefined;
    const role = roleFrom(roles, [user.username, ...user.groups]);
    if (!role) throw unauthenticated('NO_ROLE', `${user.username} has no role here`, 'an admin gives it one');
    const tenant = tenantSchema.parse(SERVICE_ACCOUNT.exec(user.username)?.[1] ?? DEFAULT_TENANT);
    return { subject: `kubernetes/${user.username}`, role, tenant };
  }

  async #review(token: string, audience: string): Promise<Review> {
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#remembered.get(key);
    if (known && known.until > this.#now()) return known.review;
    const review = await this.#ask(token, audience);
    const until = this.#now() + (review.authenticated ? KNOWN_FOR_MS : REFUSED_FOR_MS);
    this.#remembered.delete(key);
    this.#remembered.set(key, { until, review });
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= MOST_REMEMBERED) break;
      this.#remembered.delete(oldest);
    }
    return review;
  }

  /** @throws JsigrError UNAVAILABLE when the API server does not say */
  async #ask(token: string, audience: string): Promise<Review> {
    const { server = clusterServer(), caFile = `${POD}/ca.crt`, tokenFile = `${POD}/token` } = this.#options;
    try {
      // Read every time: the kubelet renews both.
      const [ca, own] = await Promise.all([readFile(caFile), readFile(tokenFile, 'utf8')]);
      const answer = await post(
        new URL('/apis/authentication.k8s.io/v1/tokenreviews', server),
        { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [audience] } },
        { ca, token: own.trim() },
      );
      return reviewSchema.parse(JSON.parse(answer)).status;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw unavailable('TOKEN_REVIEW_FAILED', `the API server could not be asked about the token: ${why}`);
    }
  }
}

function clusterServer(): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env;
  if (!host)
    throw new Error('KUBERNETES_SERVICE_HOST is not set: the gateway runs in no cluster, and no server is named');
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function post(url: URL, body: unknown, { ca, token }: { ca: Buffer; token: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json',
    };
    const call = request(url, { method: 'POST', ca, headers, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (part: string) => {
        text += part;
        if (text.length > LARGEST_ANSWER) call.destroy(new Error('the answer is too large'));
      });
      response.on('end', () => {
        const ok = response.statusCode === 200 || response.statusCode === 201;
        if (ok) resolve(text);
        else reject(new Error(`it answered ${response.statusCode}`));
      });
    });
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}
