import type { WorkerKindName } from '@jsigr/service';
import * as z from 'zod';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { Pod, TokenReview } from '../../kubernetes/types.ts';
import { AUDIENCES, audienceOf, labels, SERVICE_ACCOUNT } from './job.ts';

/** What a token of a worker's pod has in it, and clients' tokens from pods of their own have not. */
const claimsSchema = z.object({
  aud: z.union([z.string(), z.array(z.string())]).transform((audiences) => [audiences].flat()),
  'kubernetes.io': z.object({
    namespace: z.string(),
    pod: z.object({ name: z.string() }),
    serviceaccount: z.object({ name: z.literal(SERVICE_ACCOUNT) }),
  }),
});

/** Name of the worker's pod that a token says it is of; nothing of it is believed. */
export function podIn(token: string, namespace: string): string | undefined {
  try {
    const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const { aud, 'kubernetes.io': of } = claimsSchema.parse(payload);
    const isWorkers = of.namespace === namespace && aud.some((audience) => audience.startsWith(AUDIENCES));
    return isWorkers ? of.pod.name : undefined;
  } catch {
    return undefined;
  }
}

export function kindOf(component: string | undefined): WorkerKindName | undefined {
  return component === 'trainer' || component === 'attacker' || component === 'explainer' ? component : undefined;
}

const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** Is the token that of this very pod, made out for its run? The API server is asked (TokenReview). */
export async function isTokenOf(pod: Pod, token: string, client: Pick<KubernetesClient, 'request' | 'namespace'>) {
  const { [labels.component]: kind = '', [labels.run]: run = '' } = pod.metadata?.labels ?? {};
  const audience = audienceOf(kind, run);
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: [audience] },
  };
  const review = await client.request<TokenReview>('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body });
  const { authenticated, audiences, user } = review.status ?? {};
  return (
    authenticated === true &&
    audiences?.includes(audience) === true &&
    user?.username === `system:serviceaccount:${client.namespace}:${SERVICE_ACCOUNT}` &&
    user.extra?.[POD_UID]?.[0] === pod.metadata?.uid
  );
}
