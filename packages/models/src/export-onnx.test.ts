import { createEngine, type Engine, float32, sizeOf, uniform } from '@jsigr/engine';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listArchitectures } from './architectures/registry.ts';
import { createClassifier } from './create-classifier.ts';
import { classifierToOnnx } from './export-onnx.ts';
import { predict } from './predict.ts';
import { movedParameters } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

describe('every architecture as an ONNX file', () => {
  const networks = [
    ...listArchitectures().map(({ name }) => ({ name, change: {} })),
    { name: 'resnet20', change: { norm: 'group', activation: 'gelu' } as const },
    { name: 'resnet20', change: { denoise: true } as const },
    { name: 'lenet', change: { norm: 'batch', activation: 'silu' } as const },
    { name: 'smallcnn', change: { norm: 'group' } as const },
  ];
  for (const { name, change } of networks)
    for (const input of [[28, 28, 1] as const, [32, 32, 3] as const])
      it(`${name} ${JSON.stringify(change)} for ${input.join('x')} images gives the same logits, whatever the batch size`, async () => {
        const spec = { architecture: name, input, classes: 7, ...change };
        const classifier = createClassifier(spec, movedParameters(spec, 3), name);
        const session = await ort.InferenceSession.create(classifierToOnnx(classifier));
        for (const batch of [1, 5]) {
          const shape = [batch, ...input];
          const images = float32(uniform({ seed: 4, stream: 'images' }, sizeOf(shape)), shape);
          const { logits } = await session.run({
            images: new ort.Tensor('float32', images.data as Float32Array, shape),
          });
          const expected = await predict(engine, classifier, images);
          expect(logits?.dims).toEqual([batch, 7]);
          const largest = Math.max(...expected.logits.data.map(Math.abs));
          expect(largest).toBeGreaterThan(0.1);
          expected.logits.data.forEach((value, i) => {
            expect(Math.abs(Number(logits?.data[i]) - value) / largest).toBeLessThan(1e-5);
          });
        }
        await session.release();
      });
});
