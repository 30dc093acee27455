import { createEngine, type Engine, type NdArray } from '@jsigr/engine';
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  initialParameters,
  listArchitectures,
  resolveModelSpec,
  zooNetwork,
} from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainingConfig } from './config.ts';
import type { StepEvent, TrainingEvent } from './events.ts';
import { listObjectives } from './objectives/registry.ts';
import type { FixedNetwork, TrainingOptions } from './run.ts';
import { rampAt } from './stepper.ts';
import { bands } from './testing.ts';
import { train, trainToEnd } from './train.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const SMALL: TrainingConfig = { architecture: 'smallcnn', epochs: 2, batchSize: 8, seed: 3, heldOutFraction: 0.2 };
const standard = { objective: { name: 'standard' } };

async function events(config: TrainingConfig, options: TrainingOptions = {}, images = 45): Promise<TrainingEvent[]> {
  const seen: TrainingEvent[] = [];
  for await (const event of train(engine, config, bands(images), options)) seen.push(event);
  return seen;
}

const steps = (seen: readonly TrainingEvent[]) => seen.filter((event): event is StepEvent => event.type === 'step');

const everything = listObjectives().flatMap(({ name: objective }) =>
  listArchitectures().map(({ name: architecture }) => ({ objective, architecture })),
);

describe('every objective trains every architecture', () => {
  it.each(everything)('$objective on $architecture', async ({ objective, architecture }) => {
    const settings: Record<string, number> = {
      ...(objective.startsWith('jsigr') ? { maskWarmupEpochs: 0, rampEndEpoch: 0 } : {}),
      ...(objective.endsWith('fgsm-rs') ? { epsilon: 0.01 } : {}), // on nine images a larger one may well look like overfitting
    };
    const config = {
      architecture,
      steps: 3,
      batchSize: 4,
      heldOutFraction: 0.25,
      objective: { name: objective, settings },
    };
    const model = resolveModelSpec({ architecture, input: [8, 8, 1], classes: 3 });
    const fixed: FixedNetwork = {
      id: 'fixed',
      network: zooNetwork(model),
      parameters: initialParameters(model, 8),
    };
    const needs: Record<string, TrainingOptions> = {
      interpretation: { teacher: fixed },
      'ensemble-at': { surrogates: [fixed] },
    };
    const seen = await events(config, needs[objective] ?? {}, 12);
    // 9 images beside the held-out ones: two steps an epoch, and the third ends training within the second one.
    expect(seen.map(({ type }) => type).join(' ')).toBe('step step epoch checkpoint step epoch checkpoint finished');
    for (const { terms, loss } of steps(seen)) {
      expect(Object.values(terms).every(Number.isFinite)).toBe(true);
      expect(loss).toBeCloseTo(
        Object.values(terms).reduce((sum, term) => sum + term, 0),
        9,
      );
    }
  });
});

describe('training', () => {
  it.each(['standard', 'jsigr'])('with %s lowers the loss and learns the classes', async (name) => {
    const seen = await events({ ...SMALL, epochs: 6, objective: { name } }, {}, 60);
    const epochs = seen.filter((event) => event.type === 'epoch');
    expect(epochs.at(-1)?.trainLoss).toBeLessThan(0.5 * (epochs[0]?.trainTerms.crossEntropy ?? 0));
    expect(epochs.at(-1)?.heldOutAccuracy).toBe(1);
  });

  it('gives bit-identical weights for equal seeds, others for another seed', async () => {
    const config: TrainingConfig = {
      ...SMALL,
      objective: { name: 'jsigr' },
      augmentation: { cropPadding: 1, flip: true },
    };
    const [first, second] = [await trainToEnd(engine, config, bands(45)), await trainToEnd(engine, config, bands(45))];
    expect(second.parameters).toEqual(first.parameters);
    expect(second.optimizer).toEqual(first.optimizer);
    const other = await trainToEnd(engine, { ...config, seed: 4 }, bands(45));
    expect(other.parameters['logits.weight']).not.toEqual(first.parameters['logits.weight']);
  });

  it('gives the same bits and losses however many steps are made in one turn of the engine', async () => {
    const config: TrainingConfig = { ...SMALL, objective: { name: 'jsigr', settings: {} }, epochs: 3 };
    const made = async (turnSeconds: number) => {
      const losses: unknown[] = [];
      const onEvent = (event: TrainingEvent) => {
        if (event.type === 'step') losses.push([event.step, event.epoch, event.terms, event.accuracy]);
      };
      const { parameters, optimizer } = plain(await trainToEnd(engine, config, bands(45), { turnSeconds, onEvent }));
      return { parameters, optimizer, losses };
    };
    expect(await made(60)).toEqual(await made(0));
  });

  it('goes on from a checkpoint as if it had not been interrupted, also within an epoch', async () => {
    const config: TrainingConfig = {
      ...SMALL,
      objective: { name: 'jacobian', settings: { rampEndEpoch: 2 } },
      augmentation: { cropPadding: 1, flip: true },
    };
    const whole = await trainToEnd(engine, config, bands(45));
    let asked = 0;
    const part = await trainToEnd(engine, config, bands(45), { turnSeconds: 0, shouldStop: () => asked++ >= 7 });
    expect(part.step).toBeGreaterThan(0);
    expect(part.step).toBeLessThan(8);
    const resumed = await trainToEnd(engine, config, bands(45), { resume: decodeCheckpoint(encodeCheckpoint(part)) });
    expect(plain(resumed).parameters).toEqual(plain(whole).parameters);
    expect(plain(resumed).optimizer).toEqual(plain(whole).optimizer);
  });

  it('moves the running statistics of batch normalisation, which no optimiser touches and a resumed run keeps', async () => {
    const config = {
      ...SMALL,
      architecture: 'resnet20',
      steps: 4,
      objective: { name: 'standard' },
      optimizer: { settings: { weightDecay: 0.1 } },
    };
    const whole = await trainToEnd(engine, config, bands(45));
    expect(Object.keys(whole.optimizer)).not.toContain('gradientSum/stem.norm.mean');
    expect(Object.keys(whole.optimizer)).toContain('gradientSum/stem.norm.scale');
    const variances = whole.parameters['stem.norm.variance']?.data ?? [];
    // Four steps take a variance from 1 to at least 0.9^4, and the stem's filters make every channel vary.
    expect([...variances].every((variance) => variance > 0.9 ** 4 && variance !== 1)).toBe(true);
    const part = await trainToEnd(engine, { ...config, steps: 2 }, bands(45));
    const resumed = await trainToEnd(engine, config, bands(45), { resume: decodeCheckpoint(encodeCheckpoint(part)) });
    expect(plain(resumed).parameters).toEqual(plain(whole).parameters);
  });

  it('does not go on from a checkpoint of another configuration', async () => {
    const checkpoint = await trainToEnd(engine, { ...SMALL, ...standard }, bands(45));
    const resume = (config: TrainingConfig) => trainToEnd(engine, config, bands(45), { resume: checkpoint });
    await expect(resume({ ...SMALL, ...standard, batchSize: 4 })).rejects.toThrow(
      'the checkpoint was made with batchSize 8, not 4',
    );
    expect((await resume({ ...SMALL, ...standard, epochs: 3 })).step).toBe(12);
  });

  it('gives checkpoints that can be written and read', async () => {
    const checkpoint = await trainToEnd(engine, { ...SMALL, ...standard }, bands(45), {
      run: 'r1',
      datasetDigest: 'd1',
    });
    expect(checkpoint).toMatchObject({
      run: 'r1',
      step: 8,
      epoch: 2,
      dataset: { name: 'bands', digest: 'd1' },
      seed: 3,
    });
    expect(checkpoint.metrics.heldOutAccuracy).toBeGreaterThanOrEqual(0);
    const copy = decodeCheckpoint(encodeCheckpoint(checkpoint));
    expect(plain(copy)).toEqual(plain(checkpoint));
  });

  it('makes a checkpoint every so many epochs and one at the end', async () => {
    const seen = await events({ ...SMALL, ...standard, epochs: 3, checkpointEveryEpochs: 2 });
    expect(seen.filter((event) => event.type === 'checkpoint').map(({ checkpoint }) => checkpoint.epoch)).toEqual([
      2, 3,
    ]);
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'completed', step: 12 });
  });

  it('follows the schedule of the learning rate', async () => {
    const config = {
      ...SMALL,
      ...standard,
      steps: 4,
      schedule: { name: 'cosine' },
      optimizer: { settings: { learningRate: 0.01 } },
    };
    const rates = steps(await events(config)).map(({ learningRate }) => learningRate);
    // (1 + cos(k pi / 4)) / 2
    for (const [index, expected] of [0.01, 0.00853553, 0.005, 0.00146447].entries())
      expect(rates[index]).toBeCloseTo(expected, 8);
  });

  it('counts throughput and the time that is left with the given clock', async () => {
    let time = 0;
    const now = () => {
      time += 250;
      return time;
    };
    const last = steps(await events({ ...SMALL, ...standard }, { now })).at(-2);
    expect(last).toMatchObject({ step: 7, totalSteps: 8, imagesPerSecond: 32, secondsLeft: 0.25 });
  });

  it('makes saliency maps after the warm-up, every so many epochs, and counts their time', async () => {
    const calls: number[] = [];
    const saliency = async (_: unknown, __: unknown, images: NdArray, labels: NdArray): Promise<NdArray> => {
      calls.push(labels.data.length);
      const shape = [...images.shape.slice(0, 3), 1];
      return { dtype: 'float32', shape, data: new Float32Array(labels.data.length * 64).fill(1) };
    };
    const settings = { mask: 'hard', maskWarmupEpochs: 1, maskRefreshEpochs: 2, rampEndEpoch: 0 };
    const seen = await events({ ...SMALL, epochs: 4, objective: { name: 'input-gradient', settings } }, { saliency });
    // 36 training images in one batch, before the second and the fourth epoch.
    expect(calls).toEqual([36, 36]);
    // Masks of everything: from the second epoch on nothing is penalised.
    const penalties = steps(seen).map(({ terms }) => terms.inputGradient ?? Number.NaN);
    expect(penalties.slice(0, 4).every((penalty) => penalty > 0)).toBe(true);
    expect(penalties.slice(4)).toEqual(new Array(12).fill(0));
    const times = seen
      .filter((event) => event.type === 'epoch')
      .map(({ maskSeconds, seconds }) => [maskSeconds > 0, seconds > maskSeconds]);
    expect(times.map(([, whole]) => whole)).toEqual([true, true, true, true]);
  });
});

describe('a saliency method', () => {
  const jsigr = (settings: Record<string, string | number>) => ({ ...SMALL, objective: { name: 'jsigr', settings } });

  it.each(['occlusion', 'shapley', 'grad-cam'])('%s makes masks without any setting of its own', async (method) => {
    const seen = await events(jsigr({ saliencyMethod: method, rampEndEpoch: 0 }));
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'completed' });
  });

  it('that the network cannot have is refused before anything is trained', async () => {
    const config = { ...jsigr({ saliencyMethod: 'grad-cam' }), architecture: 'mlp' };
    const seen: unknown[] = [];
    const training = async () => {
      for await (const event of train(engine, config, bands(45))) seen.push(event);
    };
    await expect(training()).rejects.toMatchObject({
      reason: 'INVALID_SETTING',
      field: 'objective.settings.saliencyMethod',
      message: expect.stringContaining('grad-cam given, classifier: has no convolution'),
    });
    expect(seen).toEqual([]);
  });

  it('is not asked for maps that count for nothing', async () => {
    const asked = async () => Promise.reject(new Error('nobody needs maps'));
    const seen = await events(jsigr({ gradientWeight: 0, rampEndEpoch: 0 }), { saliency: asked });
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'completed' });
  });
});

describe('training ends early', () => {
  it('with a last checkpoint when it is told to stop', async () => {
    let made = 0;
    const seen = await events({ ...SMALL, ...standard }, { turnSeconds: 0, shouldStop: () => made++ >= 4 });
    expect(seen.at(-1)).toMatchObject({ type: 'finished', reason: 'stopped' });
    expect(seen.at(-2)).toMatchObject({ type: 'checkpoint', checkpoint: { step: steps(seen).length } });
    expect(steps(seen).length).toBeLessThan(8);
  });

  it('with the reason of the signal when it is aborted', async () => {
    const controller = new AbortController();
    let made = 0;
    const run = async () => {
      for await (const _ of train(engine, { ...SMALL, ...standard }, bands(45), { signal: controller.signal }))
        if (++made === 3) controller.abort(new Error('enough'));
    };
    await expect(run()).rejects.toThrow('enough');
    expect(made).toBe(3);
  });

  it('with the last whole epoch kept when it breaks down, though no checkpoint was due', async () => {
    const seen: TrainingEvent[] = [];
    // A penalty far too strong, from the third epoch on.
    const settings = { jacobianWeight: 100, rampStartEpoch: 2, rampEndEpoch: 2 };
    const config: TrainingConfig = {
      ...SMALL,
      epochs: 40,
      checkpointEveryEpochs: 40,
      objective: { name: 'jacobian', settings },
      optimizer: { name: 'sgd', settings: { learningRate: 0.05 } },
    };
    const run = trainToEnd(engine, config, bands(45), { onEvent: (event) => void seen.push(event) });
    const { step = 0, field } = (await run.catch((error: unknown) => error)) as { step?: number; field?: string };
    expect(field).toBe('jacobian');
    const whole = Math.floor((step - 1) / 4) * 4;
    expect(whole).toBeGreaterThanOrEqual(8);
    expect(seen.filter(({ type }) => type === 'checkpoint')).toHaveLength(1);
    expect(seen.at(-1)).toMatchObject({ type: 'checkpoint', checkpoint: { step: whole, epoch: whole / 4 } });
  });

  it('when it overfits catastrophically, with the epoch before kept', async () => {
    const seen: TrainingEvent[] = [];
    // Steps of two radii in a large ball: what withstands one FGSM step withstands nothing else.
    const settings = { epsilon: 0.4, stepFactor: 2 };
    const config: TrainingConfig = {
      ...SMALL,
      seed: 2,
      epochs: 15,
      heldOutFraction: 0.3,
      checkpointEveryEpochs: 15,
      objective: { name: 'fgsm-rs', settings },
    };
    const run = trainToEnd(engine, config, bands(90), { onEvent: (event) => void seen.push(event) });
    const { reason, step = 0 } = (await run.catch((error: unknown) => error)) as { reason?: string; step?: number };
    expect(reason).toBe('CATASTROPHIC_OVERFITTING');
    const last = seen.findLast((event) => event.type === 'epoch');
    expect(last?.probe.pgdAccuracy).toBeLessThan(0.02);
    expect(last?.probe.fgsmAccuracy).toBeGreaterThan(0.4);
    // 63 images beside the held-out ones: 7 steps an epoch.
    expect(seen.at(-1)).toMatchObject({ type: 'checkpoint', checkpoint: { step: step - 7 } });
  });

  it('by what is trained, not by its average, which lags behind', async () => {
    const config = { ...SMALL, epochs: 4, objective: { name: 'fgsm-rs', settings: { epsilon: 0.3 } } };
    const probes = async (techniques: TrainingConfig['techniques'] = {}) =>
      (await events({ ...config, techniques }, {}, 90)).flatMap((event) =>
        event.type === 'epoch' ? [event.probe] : [],
      );
    const plain = await probes();
    expect(new Set(plain.map(({ pgdAccuracy }) => pgdAccuracy)).size).toBeGreaterThan(1);
    expect(await probes({ averageDecay: 0.999 })).toEqual(plain);
  });

  it('not while the radius of its examples grows: what is trained on is what is looked at', async () => {
    const settings = { epsilon: 0.3, epsilonWarmupEpochs: 4 };
    const config = { ...SMALL, seed: 1, epochs: 6, heldOutFraction: 0.3, objective: { name: 'fgsm-rs', settings } };
    const seen = await events(config, {}, 90);
    // In the whole ball PGD would leave nothing after the second epoch, and FGSM half of the images.
    const accuracies = seen.flatMap((event) => (event.type === 'epoch' ? [event.probe.pgdAccuracy] : []));
    expect(accuracies).toHaveLength(6);
    expect(Math.min(...accuracies.map((accuracy) => accuracy ?? 0))).toBeGreaterThan(0.8);
    const kept = seen.flatMap((event) => (event.type === 'checkpoint' ? [event.checkpoint.metrics] : []));
    // Peaks are those of the whole ball, which the fourth epoch ends with.
    expect(kept.map((metrics) => metrics['peak.pgdAccuracy'])).toEqual([
      ...[undefined, undefined, undefined],
      ...[4, 5, 6].map((epoch) => Math.max(...accuracies.slice(3, epoch).map((accuracy) => accuracy ?? 0))),
    ]);
  });

  it('with an error naming step and term when the loss is no longer a number', async () => {
    const optimizer = { name: 'sgd', settings: { learningRate: 10, momentum: 0.99 } };
    const diverging = trainToEnd(engine, { ...SMALL, ...standard, epochs: 50, optimizer }, bands(45));
    await expect(diverging).rejects.toThrow(expect.objectContaining({ name: 'TrainingError', field: 'crossEntropy' }));
    await expect(diverging).rejects.toThrow(/at step \d+.*: lower the learning rate/);
  });

  it('before it begins where its steps end before what a setting waits for', async () => {
    const objective = { name: 'pgd-at', settings: { epsilonWarmupEpochs: 2 } };
    // 36 images beside the held-out ones: 4 steps an epoch.
    await expect(trainToEnd(engine, { ...SMALL, steps: 6, objective }, bands(45))).rejects.toThrow(
      'objective.settings.epsilonWarmupEpochs: 2 given, but training ends after 1.5 epochs',
    );
  });

  it('before it begins where there are too few images for a batch', async () => {
    await expect(trainToEnd(engine, { ...SMALL, ...standard, batchSize: 64 }, bands(45))).rejects.toThrow(
      'batchSize is 64, but bands has 36 training images beside the held-out ones',
    );
  });
});

describe('the ramp of penalties', () => {
  it.each([
    { ramp: { startEpoch: 1, endEpoch: 3 }, epochs: [0, 1, 1.5, 2, 3, 9], factors: [0, 0, 0.25, 0.5, 1, 1] },
    { ramp: { startEpoch: 0, endEpoch: 0 }, epochs: [0, 1], factors: [1, 1] },
    { ramp: undefined, epochs: [0], factors: [1] },
  ])('$ramp', ({ ramp, epochs, factors }) => {
    expect(epochs.map((epoch) => rampAt(ramp, epoch))).toEqual(factors);
  });
});

/** Arrays as plain numbers, for comparison whatever else the engine attaches to them. */
function plain({ parameters, optimizer, ...rest }: Checkpoint) {
  const numbers = (arrays: Readonly<Record<string, NdArray>>) =>
    Object.fromEntries(
      Object.entries(arrays).map(([name, { shape, data }]) => [name, { shape: [...shape], data: [...data] }]),
    );
  return { ...rest, parameters: numbers(parameters), optimizer: numbers(optimizer) };
}
