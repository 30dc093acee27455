import { createEngine, type Engine } from '@jsigr/engine';
import type { Checkpoint } from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainingConfig } from './config.ts';
import type { StepEvent, TrainingEvent } from './events.ts';
import { adaptPenalties, FIRST_CONTROL, type LoopFeedback } from './feedback.ts';
import type { TrainingOptions } from './run.ts';
import { bands } from './testing.ts';
import { train } from './train.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const JSIGR: TrainingConfig = {
  architecture: 'smallcnn',
  objective: { name: 'jsigr', settings: { mask: 'none', gradientWeight: 0, jacobianWeight: 0.5, rampEndEpoch: 0 } },
  epochs: 2,
  batchSize: 8,
  seed: 3,
  heldOutFraction: 0.2,
};
const data = bands(40);

async function events(config: TrainingConfig, options: TrainingOptions = {}, dataset = data): Promise<TrainingEvent[]> {
  const seen: TrainingEvent[] = [];
  for await (const event of train(engine, config, dataset, options)) seen.push(event);
  return seen;
}
const firstStep = (seen: readonly TrainingEvent[]) => seen.find((event): event is StepEvent => event.type === 'step');
const checkpoints = (seen: readonly TrainingEvent[]): Checkpoint[] =>
  seen.flatMap((event) => (event.type === 'checkpoint' ? [event.checkpoint] : []));
const factors = (seen: readonly TrainingEvent[]) =>
  seen.flatMap((event) => (event.type === 'epoch' ? [event.penaltyFactor] : []));

describe('penalties that follow the reports', () => {
  it('grow while clean accuracy holds, shrink where it fell by more than the tolerance, and stay within bounds', () => {
    const first = adaptPenalties(FIRST_CONTROL, 0.9, 0.02);
    expect(first).toEqual({ factor: 1.25, bestClean: 0.9 });
    expect(adaptPenalties(first, 0.89, 0.02)).toEqual({ factor: 1.5625, bestClean: 0.9 });
    expect(adaptPenalties(first, 0.87, 0.02)).toEqual({ factor: 1.25 / 1.5, bestClean: 0.9 });
    expect(adaptPenalties({ factor: 15, bestClean: 0.5 }, 0.5, 0).factor).toBe(16);
    expect(adaptPenalties({ factor: 1 / 16, bestClean: 0.5 }, 0.1, 0).factor).toBe(1 / 16);
  });

  it('are multiplied with the factor, and nothing else is', async () => {
    const plain = firstStep(await events(JSIGR))?.terms;
    const doubled = firstStep(await events(JSIGR, { feedback: () => ({ penaltyFactor: 2 }) }))?.terms;
    expect(doubled?.crossEntropy).toBe(plain?.crossEntropy);
    expect(doubled?.jacobian).toBeCloseTo(2 * (plain?.jacobian ?? 0), 5);
  });

  it('change between epochs, and a run that is resumed keeps the factor that it had, and what it was decided by', async () => {
    const said: LoopFeedback[] = [{}, { penaltyFactor: 3, bestClean: 0.75 }];
    const whole = await events({ ...JSIGR, epochs: 3 }, { feedback: () => said.shift() ?? {} });
    expect(factors(whole)).toEqual([1, 3, 3]);
    const [, second, third] = checkpoints(whole);
    if (!second || !third) throw new Error('a checkpoint is missing');
    const resumed = await events({ ...JSIGR, epochs: 3 }, { resume: second });
    expect(factors(resumed)).toEqual([3]);
    expect(checkpoints(resumed)[0]?.parameters).toEqual(third.parameters);
    const kept = [...checkpoints(whole), ...checkpoints(resumed)].map(({ metrics }) => metrics.bestClean);
    expect(kept).toEqual([undefined, 0.75, 0.75, 0.75]);
  });

  it('leave an epoch that was interrupted as it was begun', async () => {
    let asked = 0;
    const paused = (await events({ ...JSIGR, epochs: 2 }, { shouldPause: () => asked++ > 1 })).at(-1);
    if (paused?.type !== 'finished') throw new Error('it did not pause');
    const rest = await events(
      { ...JSIGR, epochs: 2 },
      { resume: paused.checkpoint, feedback: () => ({ penaltyFactor: 3, bestClean: 0.75 }) },
    );
    expect(factors(rest)).toEqual([1, 3]);
  });
});

describe('a feedback that stops', () => {
  const config = { ...JSIGR, epochs: 5, checkpointEveryEpochs: 5 };

  it('lets no further epoch begin; the last one has its checkpoint, though none was due', async () => {
    const said: LoopFeedback[] = [{}, {}, { stop: true }];
    const seen = await events(config, { feedback: () => said.shift() ?? {} });
    expect(factors(seen)).toHaveLength(2);
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'stopped-early' });
    const [last] = checkpoints(seen);
    expect(checkpoints(seen)).toHaveLength(1);
    expect(last?.metrics).toHaveProperty('heldOutAccuracy');
  });

  it('has an epoch that was interrupted made to its end', async () => {
    let asked = 0;
    const part = await events(config, { shouldPause: () => asked++ > 1 });
    const paused = part.at(-1);
    if (paused?.type !== 'finished') throw new Error('it did not pause');
    const whole = (await events({ ...config, epochs: 1 })).find((event) => event.type === 'epoch')?.step ?? 0;
    expect(paused.step).toBeLessThan(whole);
    const rest = await events(config, { resume: paused.checkpoint, feedback: () => ({ stop: true }) });
    expect(rest.at(-1)).toMatchObject({ reason: 'stopped-early', step: whole });
  });
});

describe('transferred examples in the batches', () => {
  const size = 64;
  const inverted = { ...data, train: { ...data.train, images: data.train.images.map((level) => 255 - level) } };
  const examples = new Map(
    Array.from({ length: data.train.count }, (_, index) => [
      index,
      inverted.train.images.subarray(index * size, (index + 1) * size),
    ]),
  );
  const standard: TrainingConfig = { ...JSIGR, objective: { name: 'standard' } };
  const weights = async (options: TrainingOptions, dataset = data) =>
    checkpoints(await events(standard, options, dataset)).at(-1)?.parameters;

  it('take the place of their images: with all of them, always, it is training on those images', async () => {
    const feedback = () => ({ examples: { images: examples, share: 1 } });
    expect(await weights({ feedback })).toEqual(await weights({}, inverted));
  });

  it('do so as often as they should, drawn by epoch and image', async () => {
    const plain = await weights({});
    expect(await weights({ feedback: () => ({ examples: { images: examples, share: 0 } }) })).toEqual(plain);
    const half = () => ({ examples: { images: examples, share: 0.5 } });
    const [once, again] = [await weights({ feedback: half }), await weights({ feedback: half })];
    expect(once).toEqual(again);
    expect(once).not.toEqual(plain);
  });
});
