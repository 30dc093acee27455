import { describe, expect, it } from 'vitest';
import { computeOf } from './context.ts';
import { fakeTerminal } from './testing/fake-terminal.ts';

describe('what a gateway of one’s own computes with', () => {
  it.each([
    [{}, {}, {}],
    [{ device: 'cuda' }, {}, { device: 'cuda' }],
    [{}, { JSIGR_ENGINE: 'tensorflow', JSIGR_DEVICE: '' }, { engine: 'tensorflow' }],
    [{ engine: 'onnx' }, { JSIGR_ENGINE: 'tensorflow', JSIGR_DEVICE: 'cpu' }, { engine: 'onnx', device: 'cpu' }],
  ] as const)('options %j, environment %j', (options, env, expected) => {
    expect(computeOf({ output: 'table', ...options }, fakeTerminal({ env }))).toEqual(expected);
  });
});
