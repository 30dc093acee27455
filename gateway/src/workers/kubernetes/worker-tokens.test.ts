import { expect, test } from 'vitest';
import { podIn } from './worker-tokens.ts';

/** As the API server makes them for pods; what a signature would show is asked elsewhere. */
function tokenWith(claims: object): string {
  return `head.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
}
const own = { namespace: 'jsigr', pod: { name: 'p-0', uid: 'u' }, serviceaccount: { name: 'jsigr-worker', uid: 'v' } };
const aud = ['jsigr.dev/trainer/abc'];

test('a token of a worker names its pod', () => {
  expect(podIn(tokenWith({ aud, 'kubernetes.io': own }), 'jsigr')).toBe('p-0');
  expect(podIn(tokenWith({ aud: aud[0], 'kubernetes.io': own }), 'jsigr')).toBe('p-0');
});

test.each<[string, string]>([
  ['of a client', tokenWith({ aud: ['jsigr'], 'kubernetes.io': own })],
  ['of another service account', tokenWith({ aud, 'kubernetes.io': { ...own, serviceaccount: { name: 'default' } } })],
  ['of another namespace', tokenWith({ aud, 'kubernetes.io': { ...own, namespace: 'vision' } })],
  ['of no pod', tokenWith({ aud, 'kubernetes.io': { ...own, pod: undefined } })],
  ['of an issuer that is none of Kubernetes', tokenWith({ aud })],
  ['that is none', 'jsigr_12345678_abc'],
])('a token %s names none', (_, token) => {
  expect(podIn(token, 'jsigr')).toBeUndefined();
});
