import { expect, test } from 'vitest';
import { waitOf } from './prefer.ts';

test.each([
  ['wait=300', 300_000],
  ['respond-async, Wait = "5"', 5000],
  ['wait=0', 0],
  ['wait=1, wait=2', 1000],
  ['wait=-1', undefined],
  ['wait=1.5', undefined],
  ['wait', undefined],
  ['await=5', undefined],
  ['', undefined],
  [undefined, undefined],
])('Prefer: %s is a wait of %s ms', (header, milliseconds) => expect(waitOf(header)).toBe(milliseconds));
