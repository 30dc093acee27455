import { gatherBatch } from '@jsigr/datasets';
import { createEngine, type Engine } from '@jsigr/engine';
import { createClassifier } from '@jsigr/models';
import { methodNamed } from '@jsigr/saliency';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StepEvent, TrainingEvent } from '../events.ts';
import { bands } from '../testing.ts';
import { train } from '../train.ts';

// What an objective changes, seen on networks that are trained with it.

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const data = bands(60);

async function trained(name: string, settings: Record<string, string | number>, epochs = 12) {
  const seen: TrainingEvent[] = [];
  const config = {
    architecture: 'mlp',
    activation: 'softplus' as const,
    objective: { name, settings },
    epochs,
    batchSize: 16,
    seed: 5,
    checkpointEveryEpochs: epochs,
  };
  for await (const event of train(engine, config, data)) seen.push(event);
  const last = seen.findLast((event) => event.type === 'checkpoint');
  if (!last) throw new Error('no checkpoint');
  return { seen, checkpoint: last.checkpoint };
}

const firstTerms = async (name: string, settings: Record<string, string | number>) =>
  (await trained(name, settings, 1)).seen.find((event): event is StepEvent => event.type === 'step')?.terms ?? {};

/** Mean cosine between the size of the input gradient and the saliency map that the objective imitates. */
async function likeness(name: string, settings: Record<string, string | number>): Promise<number> {
  const { checkpoint } = await trained(name, settings);
  const classifier = createClassifier(checkpoint.model, checkpoint.parameters, 'trained');
  const indices = Uint32Array.from({ length: 12 }, (_, i) => i);
  const { images, labels } = gatherBatch(data.train, indices, data.input);
  const context = { engine, classifier, images, targets: labels };
  const gradient = (await methodNamed('gradient').explain({ ...context, output: 'loss' })).map.data.map(Math.abs);
  const saliency = (await methodNamed('perturbation').explain(context, { stride: 2 })).map.data;
  const cosines = Array.from({ length: 12 }, (_, image) => {
    const [a, b] = [gradient, saliency].map((map) => [...map.subarray(image * 64, (image + 1) * 64)]);
    const dot = (one: number[] = [], other: number[] = []) => one.reduce((sum, v, i) => sum + v * (other[i] ?? 0), 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  });
  return cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length;
}

describe('the variant that pulls the input gradient towards the saliency', () => {
  it('makes them more alike than training without it does', async () => {
    const settings = { mask: 'none', gradientWeight: 0, saliencyStride: 2, maskRefreshEpochs: 2, rampEndEpoch: 0 };
    const without = await likeness('standard', {});
    const pulled = await likeness('selective', { ...settings, imitationWeight: 1 });
    expect(pulled).toBeGreaterThan(without + 0.05);
  });
});

describe('J-SIGR and FGSM-RS together', () => {
  const penalties = { mask: 'none', gradientWeight: 0, jacobianWeight: 0.1, rampEndEpoch: 0 };

  it('are J-SIGR alone where the ball is a point', async () => {
    expect(await firstTerms('jsigr-fgsm-rs', { ...penalties, epsilon: 0 })).toEqual(
      await firstTerms('jsigr', penalties),
    );
  });

  it('have all of its terms on harder images', async () => {
    const [both, alone] = [
      await firstTerms('jsigr-fgsm-rs', { ...penalties, epsilon: 0.1 }),
      await firstTerms('jsigr', penalties),
    ];
    expect(Object.keys(both)).toEqual(Object.keys(alone));
    expect(both.crossEntropy).toBeGreaterThan((alone.crossEntropy ?? 0) * 1.05);
    expect(both.jacobian).toBeGreaterThan(0);
  });
});
