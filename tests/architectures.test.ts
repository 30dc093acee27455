import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { architecturesPage } from '../bench/architectures.ts';

it('docs/architectures.md says what the architectures are (else: npm run architectures)', async () => {
  const page = readFileSync(new URL('../docs/architectures.md', import.meta.url), 'utf8');
  expect(await architecturesPage()).toBe(page);
});
