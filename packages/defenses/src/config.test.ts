import { describe, expect, it } from 'vitest';
import { planTraining, type TrainingConfig } from './config.ts';
import { listObjectives } from './objectives/registry.ts';
import { listOptimizers } from './optimizers/registry.ts';

describe('a training configuration', () => {
  it('has defaults for everything, and writes them out', () => {
    const { config } = planTraining({});
    expect(config).toMatchObject({
      architecture: 'lenet',
      objective: { name: 'jsigr', settings: { jacobianWeight: 0.01, projections: 1, mask: 'hard' } },
      optimizer: { name: 'adam', settings: { learningRate: 0.001, beta1: 0.9 } },
      schedule: { name: 'constant', settings: {} },
      epochs: 10,
      batchSize: 64,
      heldOutFraction: 0.05,
    });
    expect(planTraining(config).config).toEqual(config);
  });

  it('knows the objectives and optimisers by name', () => {
    expect(listObjectives().map(({ name }) => name)).toEqual([
      'standard',
      'jacobian',
      'input-gradient',
      'finite-difference',
      'selective',
      'jsigr',
      'interpretation',
      'pgd-at',
      'fgsm-rs',
      'trades',
      'mart',
      'ensemble-at',
      'jsigr-fgsm-rs',
    ]);
    expect(listOptimizers().map(({ name }) => name)).toEqual(['adam', 'sgd']);
  });

  const objective = (name: string, settings: Record<string, number | string>): TrainingConfig => ({
    objective: { name, settings },
  });

  it.each([
    { config: { architecture: 'vgg' }, message: /no architecture "vgg"; known: mlp, lenet/ },
    {
      config: objective('peace', {}),
      message: /no objective "peace"; known: standard, jacobian, input-gradient, finite-difference, selective, jsigr,/,
    },
    { config: { optimizer: { name: 'lion' } }, message: /no optimizer "lion"; known: adam, sgd/ },
    { config: { schedule: { name: 'linear' } }, message: /no schedule "linear"; known: constant, cosine, step/ },
    { config: { batchSize: 0 }, message: /^batchSize: .*1/ },
    { config: { epochs: 1.5 }, message: /^epochs: / },
    { config: { heldOutFraction: 0.9 }, message: /^heldOutFraction: .*0\.5/ },
    { config: objective('jsigr', { jacobianWeight: -1 }), message: /^objective.settings.jacobianWeight: .*0/ },
    {
      config: objective('jsigr', { projections: 0 }),
      message: /^objective.settings.projections: must be -1 .* or 1..16/,
    },
    { config: objective('jsigr', { mask: 'fuzzy' }), message: /^objective.settings.mask: .*none.*hard.*soft/ },
    {
      config: objective('jacobian', { rampStartEpoch: 3 }),
      message: /^objective.settings.rampEndEpoch: must not be before rampStartEpoch/,
    },
    { config: objective('pgd-at', { epsilon: 2 }), message: /^objective.settings.epsilon: must be at most 1 for linf/ },
    { config: objective('fgsm-rs', { stepFactor: 3 }), message: /^objective.settings.stepFactor: .*2/ },
    {
      config: objective('trades', { epsilon: 1.5 }),
      message: /^objective.settings.epsilon: must be at most 1 for linf/,
    },
    { config: objective('jsigr', { maskQuantile: 1.5 }), message: /^objective.settings.maskQuantile: .*1/ },
    {
      config: objective('jsigr', { mask: 'soft', maskQuantile: 0.5 }),
      message: /^objective.settings.maskQuantile: needs mask=hard/,
    },
    { config: objective('jsigr', { mask: 'none' }), message: /^objective.settings.mask: .*needs saliency/ },
    { config: objective('selective', { mask: 'none' }), message: /^objective.settings.mask: .*needs saliency/ },
    {
      config: objective('input-gradient', { saliencySource: 'teacher' }),
      message: /^objective.settings.saliencySource: may be teacher only where saliency is used/,
    },
    {
      config: objective('jsigr', { saliencySource: 'teacher', gradientWeight: 0 }),
      message: /^objective.settings.saliencySource: may be teacher only where saliency is used/,
    },
    {
      config: objective('trades', { divergenceWeight: 0 }),
      message: /^objective.settings.divergenceWeight: must be above 0/,
    },
    {
      config: objective('jsigr', { estimator: 'finite-difference', projections: -1 }),
      message: /^objective.settings.projections: must be 1 with estimator=finite-difference/,
    },
    {
      config: objective('jacobian', { estimator: 'finite-difference', projections: -1 }),
      message: /^objective.settings.projections: must be 1..16 with estimator=finite-difference/,
    },
    {
      config: objective('selective', { estimator: 'finite-difference', imitationWeight: 1 }),
      message: /^objective.settings.imitationWeight: must be 0 with estimator=finite-difference/,
    },
    {
      config: objective('jacobian', { jacobianSquared: 'false' }),
      message: /^objective.settings.jacobianSquared: /,
    },
    {
      config: { objective: { name: 'jacobian', settings: { jacobianSquared: false } } },
      message: /^objective.settings.jacobianSquared: may be false only with projections=-1/,
    },
    {
      config: objective('jsigr', { saliencyMethod: 'tea' }),
      message: /^objective.settings.saliencyMethod: .*perturbation/,
    },
    {
      config: { objective: { name: 'jsigr', settings: { mask: 'none' } } },
      message: /^objective.settings.mask: must be hard or soft, .*the selective term needs saliency/,
    },
    {
      config: { objective: { name: 'jsigr', settings: { maskQuantile: 1.5 } } },
      message: /^objective.settings.maskQuantile: .*<=1/,
    },
    {
      config: { objective: { name: 'selective', settings: { maskQuantile: -0.1 } } },
      message: /^objective.settings.maskQuantile: .*>=0/,
    },
    {
      config: { objective: { name: 'jsigr', settings: { mask: 'soft', maskQuantile: 0.5 } } },
      message: /^objective.settings.maskQuantile: needs mask=hard/,
    },
    {
      config: objective('jsigr', { maskQuantile: 0.9, maskThreshold: 0.5 }),
      message: /^objective.settings.maskQuantile: cannot stand beside maskThreshold/,
    },
    {
      // what is taken where neither is given, but given
      config: objective('jsigr', { maskQuantile: 0.9, maskThreshold: 0.2 }),
      message: /^objective.settings.maskQuantile: cannot stand beside maskThreshold/,
    },
    {
      config: objective('jsigr', { mask: 'soft', maskThreshold: 0.5 }),
      message: /^objective.settings.maskThreshold: needs mask=hard/,
    },
    {
      config: objective('input-gradient', { maskThreshold: 0.5 }),
      message: /^objective.settings.maskThreshold: needs mask=hard/,
    },
    {
      config: objective('jsigr', { jacobianWeight: 0, gradientWeight: 0 }),
      message: /^objective.settings.jacobianWeight: must be above 0, or gradientWeight or imitationWeight/,
    },
    {
      config: objective('selective', { gradientWeight: 0 }),
      message: /^objective.settings.gradientWeight: must be above 0, or imitationWeight/,
    },
    ...[
      ['jacobian', ['jacobianWeight']],
      ['input-gradient', ['gradientWeight', 'imitationWeight']],
      ['finite-difference', ['gradientWeight']],
      ['interpretation', ['cosineWeight', 'normWeight']],
    ].map(([name, weights]) => ({
      config: objective(name as string, Object.fromEntries([...(weights as string[])].map((weight) => [weight, 0]))),
      message: new RegExp(`^objective.settings.${weights?.[0]}: must be above 0.*: else only cross-entropy is left`),
    })),
    { config: { techniques: { averageDecay: 1 } }, message: /^techniques.averageDecay: .*1/ },
    {
      config: { techniques: { classWeights: '1,x' } },
      message: /^techniques.classWeights: must be none, balanced, or/,
    },
    { config: objective('standard', { surprise: 1 }), message: /surprise/ },
    { config: { optimizer: { settings: { learningRate: 0 } } }, message: /^optimizer.settings.learningRate: .*0/ },
  ])('$config is refused', ({ config, message }) => {
    expect(() => planTraining(config as TrainingConfig)).toThrow(message);
  });
});
