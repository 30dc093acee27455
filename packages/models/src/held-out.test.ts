import { expect, it } from 'vitest';
import { heldOutBy } from './held-out.ts';

const manifest = {
  dataset: { name: 'mnist', digest: 'abc' },
  seed: 3,
  configuration: { heldOutFraction: 0.05, epochs: 2 },
};

it('is what a manifest says, and unknown where it does not say it', () => {
  expect(heldOutBy(manifest)).toEqual({ dataset: 'abc', seed: 3, fraction: 0.05 });
  expect(heldOutBy({ ...manifest, dataset: { name: 'mnist', digest: '' } })).toBeUndefined();
  expect(heldOutBy({ ...manifest, configuration: {} })).toBeUndefined();
  expect(heldOutBy({ kind: 'imported', name: 'somebody else' })).toBeUndefined();
  expect(heldOutBy(undefined)).toBeUndefined();
});
