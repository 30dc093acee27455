import type { NdArray } from '@jsigr/engine';
import { describe, expect, it } from 'vitest';
import { findArchitecture, listArchitectures } from './architectures/registry.ts';
import { createClassifier, forwardOf, parameterCount } from './create-classifier.ts';
import { checkParameters, initialParameters, type ModelSpec, resolveModelSpec, statisticNames } from './model-spec.ts';

const MNIST: ModelSpec = { architecture: 'lenet', input: [28, 28, 1], classes: 10 };
const CIFAR = { input: [32, 32, 3] as const, classes: 10 };

// Counted by hand: weights and biases layer by layer.
const COUNTS = [
  { ...MNIST, architecture: 'mlp', count: 314_000 + 160_400 + 4_010 },
  { ...MNIST, architecture: 'lenet', count: 832 + 51_264 + 803_072 + 2_570 },
  { ...MNIST, architecture: 'smallcnn', count: 160 + 4_640 + 18_496 + 31_370 },
  { ...CIFAR, architecture: 'resnet8', count: 448 + 4_640 + (13_888 + 544) + (55_424 + 2_112) + 650 },
  // Trained ones as published for these networks (without biases before a norm) and two running statistics for each normalised channel.
  { ...CIFAR, architecture: 'resnet20', count: 272_474 + 2 * (7 * 16 + 7 * 32 + 7 * 64) },
  { ...CIFAR, architecture: 'resnet18', count: 11_173_962 + 2 * (5 * 64 + 5 * 128 + 5 * 256 + 5 * 512) },
  { ...CIFAR, architecture: 'wrn-16-4', count: 2_748_890 + 2 * (16 + 4 * 64 + 4 * 128 + 4 * 256) },
  { ...CIFAR, architecture: 'vgg11', count: 9_231_114 - 2_752 + 2 * 2_752 },
];

describe('architectures', () => {
  it.each(COUNTS)(
    '$architecture for $input images has $count parameters',
    ({ architecture, input, classes, count }) => {
      expect(parameterCount(initialParameters({ architecture, input, classes }, 1))).toBe(count);
    },
  );

  it('are listed, and an unknown one is an error that lists them', () => {
    expect(listArchitectures().map(({ name }) => name)).toEqual([
      'mlp',
      'lenet',
      'smallcnn',
      'resnet8',
      'resnet20',
      'resnet18',
      'wrn-16-4',
      'vgg7',
      'vgg11',
    ]);
    expect(() => findArchitecture('vgg')).toThrow(/no architecture "vgg"; known: mlp, lenet, smallcnn, resnet8, /);
  });

  it('are built with the normalisation layers that they know', () => {
    const spec = { ...CIFAR, architecture: 'resnet20' };
    expect(resolveModelSpec(spec).norm).toBe('batch');
    expect([...statisticNames(spec)].slice(0, 2)).toEqual(['stage1.block1.norm1.mean', 'stage1.block1.norm1.variance']);
    expect(statisticNames({ ...spec, norm: 'group' }).size).toBe(0);
    expect(() => resolveModelSpec({ ...spec, norm: 'none' })).toThrow(
      'norm is none; allowed for resnet20: batch, group',
    );
    expect(() => resolveModelSpec({ ...MNIST, architecture: 'mlp', norm: 'batch' })).toThrow(
      'norm is batch; allowed for mlp: none',
    );
  });

  it.each([
    { field: 'input.0', change: { input: [3, 28, 1] as const } },
    { field: 'input.1', change: { input: [28, 129, 1] as const } },
    { field: 'input.2', change: { input: [28, 28, 9] as const } },
    { field: 'classes', change: { classes: 1 } },
  ])('refuse shapes out of range and name $field', ({ field, change }) => {
    const refused = () => initialParameters({ ...MNIST, ...change }, 1);
    expect(refused).toThrow(expect.objectContaining({ reason: 'INVALID_SHAPE', field }));
  });
});

describe('first parameters', () => {
  it('have the deviation of He et al. and zero biases', () => {
    const parameters = initialParameters(MNIST, 1);
    expect(deviation(parameters['hidden.weight'])).toBeCloseTo(Math.sqrt(2 / 3136), 4);
    expect(deviation(parameters['logits.weight'])).toBeCloseTo(Math.sqrt(1 / 256), 2);
    expect(deviation(parameters['hidden.bias'])).toBe(0);
  });

  it('are the same for the same seed, others for another', () => {
    expect(initialParameters(MNIST, 7)).toEqual(initialParameters(MNIST, 7));
    expect(initialParameters(MNIST, 7)['conv1.weight']).not.toEqual(initialParameters(MNIST, 8)['conv1.weight']);
  });

  it('of a residual block end in zero, so that it begins as its shortcut', () => {
    const parameters = initialParameters({ ...MNIST, architecture: 'resnet8' }, 1);
    expect(deviation(parameters['stage2.conv2.weight'])).toBe(0);
    expect(deviation(parameters['stage2.conv1.weight'])).toBeGreaterThan(0.05);
  });

  it.each([-1, 0.5, 2 ** 32])('refuse the seed %d', (seed) => {
    expect(() => initialParameters(MNIST, seed)).toThrow(/integer from 0 to 4294967295/);
  });
});

describe('a classifier of the zoo', () => {
  it('has one forward function for equal specs, whatever is left to defaults', () => {
    const written = { ...MNIST, activation: 'relu' as const, normalization: { deviation: 1, mean: 0 } };
    expect(forwardOf(MNIST)).toBe(forwardOf(written));
    expect(forwardOf(MNIST)).not.toBe(forwardOf({ ...MNIST, activation: 'tanh' }));
    const create = (seed: number) => createClassifier(MNIST, initialParameters(MNIST, seed), 'lenet');
    expect(create(1).forward).toBe(create(2).forward);
  });

  it('refuses parameters that do not fit, and names the first', () => {
    const parameters = initialParameters(MNIST, 1);
    const { 'conv2.bias': removed, ...incomplete } = parameters;
    expect(removed).toBeDefined();
    expect(() => checkParameters(MNIST, incomplete)).toThrow(/conv2.bias of lenet for 28x28x1 images .* is missing/);
    expect(() => checkParameters({ ...MNIST, classes: 9 }, parameters)).toThrow(
      'the parameter logits.weight is float32 [256,10]; lenet for 28x28x1 images and 9 classes needs float32 [256,9]',
    );
    expect(() => checkParameters({ ...MNIST, architecture: 'mlp' }, parameters)).toThrow(
      /hidden1.weight .* is missing/,
    );
  });
});

function deviation(array: NdArray | undefined): number {
  const data = [...(array?.data ?? [Number.NaN])];
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
}
