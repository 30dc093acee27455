import { createEngine, type Engine, type NdArray } from '@jsigr/engine';
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  initialParameters,
  resolveModelSpec,
  zooNetwork,
} from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainingConfig } from './config.ts';
import type { TrainingEvent } from './events.ts';
import type { FixedNetwork, TrainingOptions } from './run.ts';
import { bands } from './testing.ts';
import { trainToEnd } from './train.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/** 36 images beside the held-out ones: 4 steps an epoch, 16 in all. */
const SMALL: TrainingConfig = { architecture: 'smallcnn', epochs: 4, batchSize: 8, seed: 3, heldOutFraction: 0.2 };
const model = resolveModelSpec({ architecture: 'smallcnn', input: [8, 8, 1], classes: 3 });
const network = (id: string): FixedNetwork => ({
  id,
  network: zooNetwork(model),
  parameters: initialParameters(model, 8),
});

/** All of it: masks refreshed in the second of four epochs, everything that moves, an average, a clipped gradient. */
const jsigr: TrainingConfig = {
  ...SMALL,
  objective: { name: 'jsigr', settings: { maskWarmupEpochs: 1, maskRefreshEpochs: 2, rampEndEpoch: 2 } },
  optimizer: { name: 'adam' },
  schedule: { name: 'cosine' },
  augmentation: { cropPadding: 1, flip: true, noise: 0.1, cutout: 2 },
  techniques: { averageDecay: 0.9, gradientClip: 1, labelSmoothing: 0.1, classWeights: '1,2,1' },
};

const CASES: readonly { what: string; config: TrainingConfig; options?: TrainingOptions }[] = [
  { what: 'J-SIGR with masks, an average and Adam', config: jsigr },
  {
    what: 'J-SIGR with masks of a teacher',
    config: { ...SMALL, objective: { name: 'jsigr', settings: { saliencySource: 'teacher', maskWarmupEpochs: 0 } } },
    options: { teacher: network('teacher') },
  },
  {
    what: 'fgsm-rs with its probe and sgd',
    config: {
      ...SMALL,
      objective: { name: 'fgsm-rs', settings: { epsilonWarmupEpochs: 2 } },
      optimizer: { name: 'sgd' },
    },
  },
  {
    what: 'ensemble adversarial training',
    config: { ...SMALL, objective: { name: 'ensemble-at' } },
    options: { surrogates: [network('a'), network('b')] },
  },
  {
    what: 'early stopping',
    config: { ...SMALL, objective: { name: 'trades' }, techniques: { earlyStoppingPatience: 3 } },
  },
];

/** Trains to the end, or to this step. */
async function trained(config: TrainingConfig, options: TrainingOptions = {}, until = Number.POSITIVE_INFINITY) {
  let made = 0;
  return trainToEnd(engine, config, bands(45), {
    ...options,
    turnSeconds: 0,
    shouldStop: () => made >= until,
    onEvent: ({ type }: TrainingEvent) => {
      if (type === 'step') made++;
    },
  });
}

describe('a run that was interrupted gives the bits of one that was not', () => {
  it.each(CASES)('$what', async ({ config, options }) => {
    const whole = contents(await trained(config, options));
    // Within the first epoch, at the end of the second, and within the third, between two refreshes of the maps.
    for (const step of [3, 8, 10]) {
      const part = await trained(config, options, step);
      const resume = decodeCheckpoint(encodeCheckpoint(part));
      expect(resume.step).toBe(step);
      expect(contents(await trained(config, { ...options, resume }))).toEqual(whole);
    }
  });

  it('also when it is interrupted again and again', async () => {
    let resume = await trained(jsigr, {}, 5);
    for (const steps of [1, 2, 6]) resume = decodeCheckpoint(encodeCheckpoint(await trained(jsigr, { resume }, steps)));
    expect(resume.step).toBe(14);
    expect(contents(await trained(jsigr, { resume }))).toEqual(contents(await trained(jsigr)));
  });
});

describe('a state within an epoch', () => {
  it('is an event when it is asked for, and training goes on from it to the same bytes', async () => {
    const whole = await trained(jsigr);
    const states: Checkpoint[] = [];
    let made = 0;
    await trainToEnd(engine, jsigr, bands(45), {
      turnSeconds: 0,
      shouldKeep: () => made % 5 === 0,
      onEvent: (event) => {
        if (event.type === 'step') made++;
        if (event.type === 'state') states.push(event.checkpoint);
      },
    });
    expect(states.map(({ step }) => step)).toEqual([5, 10, 15]);
    for (const state of states) {
      const resume = decodeCheckpoint(encodeCheckpoint(state));
      expect(encodeCheckpoint(await trained(jsigr, { resume }))).toEqual(encodeCheckpoint(whole));
    }
  });

  it('is none at the end of an epoch: whoever went on from there would never judge and keep that epoch', async () => {
    const kept: number[] = [];
    await trainToEnd(engine, jsigr, bands(45), {
      turnSeconds: 0,
      shouldKeep: () => true,
      onEvent: (event) => {
        if (event.type === 'state') kept.push(event.checkpoint.step);
      },
    });
    expect(kept.slice(0, 6)).toEqual([1, 2, 3, 5, 6, 7]);
    expect(kept.every((step) => step % 4 > 0)).toBe(true);
  });

  it('is what training that pauses ends with, at once and without measuring anything', async () => {
    for (const pauseAt of [0, 3, 8]) {
      const seen: TrainingEvent[] = [];
      let made = 0;
      const state = await trainToEnd(engine, jsigr, bands(45), {
        turnSeconds: 0,
        shouldPause: () => made >= pauseAt,
        onEvent: (event) => {
          seen.push(event);
          if (event.type === 'step') made++;
        },
      });
      expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'paused', step: pauseAt });
      expect(seen.filter(({ type }) => type === 'epoch')).toHaveLength(Math.floor(pauseAt / 4));
      const resume = decodeCheckpoint(encodeCheckpoint(state));
      expect(contents(await trained(jsigr, { resume }))).toEqual(contents(await trained(jsigr)));
    }
  });
});

describe('going on is refused', () => {
  it.each([
    { what: 'another technique', change: { techniques: { averageDecay: 0.5 } }, field: 'resume.techniques' },
    { what: 'another objective', change: { objective: { name: 'standard' } }, field: 'resume.objective' },
    { what: 'another seed', change: { seed: 9 }, field: 'resume.seed' },
    { what: 'another augmentation', change: { augmentation: {} }, field: 'resume.augmentation' },
  ])('with $what', async ({ change, field }) => {
    const resume = await trained(jsigr, {}, 2);
    await expect(trained({ ...jsigr, ...change }, { resume })).rejects.toThrow(
      expect.objectContaining({ reason: 'INVALID_SETTING', field }),
    );
  });

  it('with nothing in place of a setting that the checkpoint has, and not where neither has it', async () => {
    const config: TrainingConfig = { ...SMALL, objective: { name: 'standard' }, norm: undefined, denoise: undefined };
    const resume = await trained(config, {}, 2);
    expect((await trained({ ...config, steps: 3 }, { resume })).step).toBe(3);
    const named = await trained({ ...config, norm: 'none' }, {}, 2);
    await expect(trained(config, { resume: named })).rejects.toThrow('was made with norm "none", not undefined');
  });

  it('with another teacher', async () => {
    const settings = { saliencySource: 'teacher' };
    const config = { ...SMALL, objective: { name: 'selective', settings } };
    const resume = await trained(config, { teacher: network('one') }, 2);
    await expect(trained(config, { teacher: network('two'), resume })).rejects.toThrow(/networks .*one.*, not .*two/);
  });
});

describe('a checkpoint of a run with averaging', () => {
  it('holds the average as its weights, and the trained ones beside', async () => {
    const config: TrainingConfig = { ...SMALL, steps: 1, objective: { name: 'standard' } };
    const plain = await trained(config);
    const averaged = await trained({ ...config, techniques: { averageDecay: 0.999 } });
    const name = 'logits.weight';
    expect(averaged.optimizer[`trained/${name}`]?.data).toEqual(plain.parameters[name]?.data);
    // At step 1 the decay is (1 + 1) / (10 + 1): the average has gone 9/11 of the way from the first weights.
    const first = initialParameters(model, 3)[name]?.data ?? [];
    const [before = 0, after = 0, average = 0] = [
      first,
      plain.parameters[name]?.data,
      averaged.parameters[name]?.data,
    ].map((data) => data?.[5]);
    expect(average).toBeCloseTo(before + (9 / 11) * (after - before), 6);
    expect(Object.keys(averaged.optimizer).some((key) => key.startsWith('average/'))).toBe(false);
  });
});

describe('early stopping', () => {
  it('ends after epochs without a better held-out accuracy, with the best epoch as its result', async () => {
    const seen: TrainingEvent[] = [];
    const config: TrainingConfig = {
      ...SMALL,
      epochs: 50,
      objective: { name: 'standard' },
      techniques: { earlyStoppingPatience: 2 },
    };
    const last = await trainToEnd(engine, config, bands(45), { onEvent: (event) => void seen.push(event) });
    const accuracies = seen.flatMap((event) => (event.type === 'epoch' ? [event.heldOutAccuracy ?? 0] : []));
    const best = accuracies.indexOf(Math.max(...accuracies)) + 1;
    expect(accuracies).toHaveLength(best + 2);
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'stopped-early', step: 4 * (best + 2) });
    expect(last).toMatchObject({ step: 4 * best, epoch: best, metrics: { heldOutAccuracy: accuracies[best - 1] } });
    const saved = seen.flatMap((event) => (event.type === 'checkpoint' ? [event.checkpoint] : []));
    expect(last.parameters).toEqual(saved.find(({ step }) => step === 4 * best)?.parameters);
    await expect(trainToEnd(engine, config, bands(45), { resume: last })).rejects.toThrow(/begin a new run with it/);
    const tuned = await trainToEnd(engine, { ...config, steps: 1 }, bands(45), {
      initial: { id: 'best', network: zooNetwork(last.model), parameters: last.parameters },
    });
    expect(tuned.step).toBe(1);
  });
});

/** All that a checkpoint holds, the figures in its manifest too. */
function contents({ parameters, optimizer, ...manifest }: Checkpoint) {
  const numbers = (arrays: Readonly<Record<string, NdArray>>) =>
    Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, [...data]]));
  return { ...manifest, parameters: numbers(parameters), optimizer: numbers(optimizer) };
}
