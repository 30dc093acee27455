import { describe, expect, it } from 'vitest';
import { type Checkpoint, type CheckpointFiles, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { initialParameters, resolveModelSpec } from './model-spec.ts';

const model = resolveModelSpec({ architecture: 'smallcnn', input: [8, 8, 1], classes: 3 });
const parameters = initialParameters(model, 5);
const checkpoint: Checkpoint = {
  run: 'run-1',
  step: 120,
  epoch: 2,
  model,
  dataset: { name: 'glyphs', digest: 'sha256:00' },
  objective: { name: 'jsigr', settings: { jacobianWeight: 0.01, mask: 'hard' } },
  configuration: { batchSize: 64 },
  seed: 5,
  engine: { engine: 'onnx', threads: 1 },
  metrics: { heldOutAccuracy: 0.97 },
  parameters,
  optimizer: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`momentum/${name}`, value])),
};
const files = encodeCheckpoint(checkpoint);

describe('a checkpoint', () => {
  it('is the same after writing and reading', () => {
    expect(decodeCheckpoint(files)).toEqual(checkpoint);
  });

  it('has equal bytes for equal contents', () => {
    expect(encodeCheckpoint(decodeCheckpoint(files))).toEqual(files);
  });

  it.each([
    ['a manifest cut short', { 'manifest.json': cut('manifest.json') }, 'MALFORMED_CHECKPOINT', /not JSON .*truncated/],
    [
      'weights cut short',
      { 'weights.safetensors': cut('weights.safetensors') },
      'DIGEST_MISMATCH',
      /weights.safetensors .* has sha256/,
    ],
    [
      'no optimiser state',
      { 'optimizer.safetensors': undefined },
      'MALFORMED_CHECKPOINT',
      /lacks optimizer.safetensors; it has manifest.json/,
    ],
    [
      'another version',
      { 'manifest.json': edit({ version: 2 }) },
      'UNSUPPORTED_VERSION',
      /has format version 2; this program reads version 1/,
    ],
    [
      'an unknown architecture',
      { 'manifest.json': edit({ model: { ...model, architecture: 'vgg' } }) },
      'UNKNOWN_ARCHITECTURE',
      /known: mlp/,
    ],
    [
      'weights of another shape',
      { 'manifest.json': edit({ model: { ...model, classes: 4 } }) },
      'PARAMETER_MISMATCH',
      /needs float32 \[256,4\]/,
    ],
    ['a negative step', { 'manifest.json': edit({ step: -1 }) }, 'MALFORMED_CHECKPOINT', /manifest.json: step: /],
    ['an unknown field', { 'manifest.json': edit({ surprise: 1 }) }, 'MALFORMED_CHECKPOINT', /surprise/],
    [
      'a manifest that is a list',
      { 'manifest.json': new TextEncoder().encode('[]') },
      'MALFORMED_CHECKPOINT',
      /manifest.json/,
    ],
  ])('with %s is refused', (_, change, reason, message) => {
    const changed = Object.fromEntries(
      Object.entries({ ...files, ...change }).filter(([, bytes]) => bytes),
    ) as CheckpointFiles;
    expect(() => decodeCheckpoint(changed)).toThrow(
      expect.objectContaining({ reason, message: expect.stringMatching(message) }),
    );
  });

  it('is refused before writing if a weight is not finite or a state belongs to nothing', () => {
    const broken = {
      ...parameters,
      'conv1.bias': { ...parameters['conv1.bias'], data: new Float32Array(16).fill(Number.NaN) },
    };
    expect(() => encodeCheckpoint({ ...checkpoint, parameters: broken as typeof parameters })).toThrow(
      /conv1.bias holds numbers/,
    );
    expect(() =>
      encodeCheckpoint({
        ...checkpoint,
        optimizer: { 'momentum/none': { dtype: 'float32', shape: [1], data: new Float32Array(1) } },
      }),
    ).toThrow(/momentum\/none \[1\] belongs to no parameter/);
  });
});

function cut(name: string): Uint8Array {
  return (files[name] ?? new Uint8Array()).slice(0, -7);
}

function edit(change: object): Uint8Array {
  const manifest = JSON.parse(new TextDecoder().decode(files['manifest.json'])) as object;
  return new TextEncoder().encode(JSON.stringify({ ...manifest, ...change }));
}
