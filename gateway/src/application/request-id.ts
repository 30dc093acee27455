import { createHash } from 'node:crypto';
import { jsonText } from '../store/json.ts';
import type { Violations } from './violations.ts';

const MOST_CHARACTERS = 100;

/** What makes a creation idempotent: the client's id and a fingerprint of the request; nothing without an id. */
export function requestOf(id: string, content: unknown, violations: Violations) {
  violations.text('requestId', id, MOST_CHARACTERS);
  if (!id) return {};
  return {
    request: {
      id,
      fingerprint: createHash('sha256')
        .update(jsonText(sorted(content)))
        .digest('hex'),
    },
  };
}

/** With the keys of every object in order: the order in which a client writes a map says nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}
