import { readFileSync } from 'node:fs';
import { createEngine, type Engine, type NdArray, readSafetensors } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agreementCases, caseInputs, derivatives } from '../bench/peers/agreement-cases.ts';
import { fingerprint, fingerprintError } from '../bench/peers/compare.ts';
import { flatArrays } from '../bench/peers/flat-arrays.ts';

// Expected: PyTorch in double precision, from the same weights and inputs (npm run bench:agreement -- --golden).
const { tensors } = readSafetensors(readFileSync(new URL('golden/engine-agreement.safetensors', import.meta.url)));

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

describe('loss, parameter gradients, input gradient and running statistics agree with PyTorch', () => {
  it.each(agreementCases('small'))('$network, $objective loss', async (given) => {
    const found = fingerprint(flatArrays(await derivatives(engine, given, caseInputs(given))));
    expect(fingerprintError(found, tensors[given.name] as NdArray)).toBeLessThan(1e-4);
  });
});

it('a fingerprint sees a change of one number in a thousand', () => {
  const data = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
  const before = fingerprint({ a: { dtype: 'float32', shape: [1000], data } });
  const changed = data.with(500, (data[500] ?? 0) + 0.5);
  const after = fingerprint({ a: { dtype: 'float32', shape: [1000], data: changed } });
  expect(fingerprintError(after, before)).toBeGreaterThan(1e-3);
});
