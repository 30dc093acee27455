import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { ControlPlane, skipped } from './support/control-plane.ts';

const root = new URL('../../k8s/', import.meta.url);
const examples = readdirSync(new URL('examples/', root));

type Spec = Record<string, unknown>;
const run = { dataset: 'datasets/glyphs', architecture: 'lenet', objective: { name: 'jsigr' }, epochs: 3 };
const evaluation = { model: 'models/0123456789abcdef' };
const attack = (fields: Spec) => ({ ...evaluation, attacks: [{ name: 'pgd', epsilons: ['0.1'], ...fields }] });

/** What a person gets to read who applies this. */
const bad: readonly (readonly [
  what: string,
  kind: 'TrainingRun' | 'RobustnessEvaluation',
  spec: Spec,
  message: string,
])[] = [
  ['no epochs', 'TrainingRun', { ...run, epochs: undefined }, 'spec.epochs: Required value'],
  [
    'epochs of 0',
    'TrainingRun',
    { ...run, epochs: 0 },
    'spec.epochs: Invalid value: 0: spec.epochs in body should be greater than or equal to 1',
  ],
  [
    'a dataset without its collection',
    'TrainingRun',
    { ...run, dataset: 'glyphs' },
    'spec.dataset: Invalid value: "string": must be datasets/{id}, e.g. datasets/glyphs, not glyphs',
  ],
  [
    'an epsilon as a number',
    'TrainingRun',
    { ...run, loop: { attacks: [{ name: 'pgd', epsilons: [0.1] }] } },
    'spec.loop.attacks[0].epsilons[0]: Invalid value: "number": spec.loop.attacks[0].epsilons[0] in body must be of type string',
  ],
  [
    'a learning rate of 0',
    'TrainingRun',
    { ...run, optimizer: { learningRate: '0' } },
    'spec.optimizer.learningRate: Invalid value: "string": must be a number above 0, up to 10, as a string such as "0.001"',
  ],
  [
    'a momentum for adam',
    'TrainingRun',
    { ...run, optimizer: { momentum: '0.9' } },
    'spec.optimizer.momentum: Invalid value: "object": only sgd has one: remove it, or set name: sgd',
  ],
  [
    'a momentum of 1',
    'TrainingRun',
    { ...run, optimizer: { name: 'sgd', momentum: '1' } },
    'must be a number of 0 or more, below 1, as a string such as "0.9"',
  ],
  [
    'noise above 1',
    'TrainingRun',
    { ...run, augmentation: { noise: '1.5' } },
    'spec.augmentation.noise: Invalid value: "string": must be a number in [0,1]',
  ],
  [
    'an unknown feedback',
    'TrainingRun',
    { ...run, loop: { feedback: 'best' } },
    'spec.loop.feedback: Unsupported value: "best": supported values: "none", "select", "early-stop", "adapt", "augment"',
  ],
  [
    'a patience without early stopping',
    'TrainingRun',
    { ...run, loop: { feedback: 'select', patience: 3 } },
    'spec.loop.patience: Invalid value: "object": is for feedback: early-stop alone',
  ],
  [
    'a tolerance without adapt',
    'TrainingRun',
    { ...run, loop: { feedback: 'select', cleanTolerance: '0.05' } },
    'spec.loop.cleanTolerance: Invalid value: "object": is for feedback: adapt alone',
  ],
  [
    'a tolerance of 0',
    'TrainingRun',
    { ...run, loop: { feedback: 'adapt', cleanTolerance: '0' } },
    'must be a number above 0, up to 1, as a string such as "0.02"',
  ],
  [
    'training examples without augment',
    'TrainingRun',
    { ...run, loop: { feedback: 'adapt', trainingExamples: 10 } },
    'spec.loop.trainingExamples: Invalid value: "object": is for feedback: augment alone',
  ],
  [
    'more training examples than there may be',
    'TrainingRun',
    { ...run, loop: { feedback: 'augment', trainingExamples: 4097 } },
    'spec.loop.trainingExamples in body should be less than or equal to 4096',
  ],
  [
    'a share as a number',
    'TrainingRun',
    { ...run, loop: { feedback: 'augment', exampleShare: 0.5 } },
    'spec.loop.exampleShare in body must be of type string: "number"',
  ],
  [
    'a share above 1',
    'TrainingRun',
    { ...run, loop: { feedback: 'augment', exampleShare: '2' } },
    'must be a number above 0, up to 1, as a string such as "0.5"',
  ],
  [
    'an unknown activation',
    'TrainingRun',
    { ...run, activation: 'mish' },
    'spec.activation: Unsupported value: "mish": supported values: "relu", "softplus", "gelu", "silu", "tanh"',
  ],
  [
    'an unknown norm',
    'TrainingRun',
    { ...run, norm: 'layer' },
    'spec.norm: Unsupported value: "layer": supported values: "none", "batch", "group"',
  ],
  [
    'more examples in the report than there may be',
    'TrainingRun',
    { ...run, loop: { attacks: [{ name: 'pgd', epsilons: ['0.1'], keepExamples: 17 }] } },
    'spec.loop.attacks[0].keepExamples in body should be less than or equal to 16',
  ],
  [
    'a profile beside attacks',
    'TrainingRun',
    { ...run, loop: { profile: 'smoke', attacks: [{ name: 'pgd', epsilons: ['0.1'] }] } },
    'spec.loop.profile: Invalid value: "object": stands beside attacks: give one of the two',
  ],
  [
    'a teacher that is no model',
    'TrainingRun',
    { ...run, teacher: 'trainingRuns/abc' },
    'must be models/{digest}, 8 to 64 hexadecimal digits',
  ],
  [
    'a seed beyond 32 bits',
    'TrainingRun',
    { ...run, seed: 2 ** 32 },
    'spec.seed: Invalid value: 4294967296: spec.seed in body should be less than or equal to 4294967295',
  ],
  ['a field that does not exist', 'TrainingRun', { ...run, learningRate: '0.1' }, 'unknown field "spec.learningRate"'],
  [
    'a name that is no label',
    'TrainingRun',
    { ...run, NAME: 'a'.repeat(64) },
    'metadata.name has more than 63 characters, but it becomes a label of the Jobs',
  ],
  [
    'no model',
    'RobustnessEvaluation',
    {},
    'give exactly one of model (models/{digest}) and modelFrom (a TrainingRun of this namespace)',
  ],
  [
    'two models',
    'RobustnessEvaluation',
    { ...evaluation, modelFrom: { trainingRun: 'a' } },
    'give exactly one of model',
  ],
  [
    'a model by the name of its run',
    'RobustnessEvaluation',
    { model: 'glyphs-jsigr' },
    'spec.model: Invalid value: "string": must be models/{digest}, 8 to 64 hexadecimal digits, not glyphs-jsigr',
  ],
  [
    'a fraction that divides by 0',
    'RobustnessEvaluation',
    attack({ epsilons: ['8/0'] }),
    'spec.attacks[0].epsilons[0]: Invalid value: "string": must be a number such as "0.03" or a fraction such as "8/255", not 8/0',
  ],
  [
    'an epsilon in levels of 255',
    'RobustnessEvaluation',
    attack({ epsilons: ['8'] }),
    'an epsilon above 1 is larger than any difference of pixels in [0,1]; did you mean 8/255?',
  ],
  [
    'a fraction above 1',
    'RobustnessEvaluation',
    attack({ epsilons: ['0.1', '300/255'] }),
    'spec.attacks[0].epsilons: Invalid value: "object": an epsilon above 1',
  ],
  [
    'a word for an epsilon',
    'RobustnessEvaluation',
    attack({ epsilons: ['small'] }),
    'must be a number such as "0.03" or a fraction such as "8/255"',
  ],
  [
    'no epsilon',
    'RobustnessEvaluation',
    attack({ epsilons: [] }),
    'spec.attacks[0].epsilons: Invalid value: 0: spec.attacks[0].epsilons in body should have at least 1 items',
  ],
  [
    'an unknown norm',
    'RobustnessEvaluation',
    attack({ norm: 'l0' }),
    'spec.attacks[0].norm: Unsupported value: "l0": supported values: "linf", "l2", "l1"',
  ],
  [
    'epsilons beside attacks',
    'RobustnessEvaluation',
    { ...attack({}), epsilons: ['0.1'] },
    'spec.epsilons: Invalid value: "object": stand beside attacks, each of which has its own: leave them out',
  ],
  [
    "a loop's epsilons beside attacks",
    'TrainingRun',
    { ...run, loop: { epsilons: ['0.1'], attacks: [{ name: 'pgd', epsilons: ['0.1'] }] } },
    'spec.loop.epsilons: Invalid value: "object": stand beside attacks, each of which has its own: leave them out',
  ],
  [
    'too many shards',
    'RobustnessEvaluation',
    { ...evaluation, shards: 65 },
    'spec.shards: Invalid value: 65: spec.shards in body should be less than or equal to 64',
  ],
  [
    'a budget for several attackers',
    'RobustnessEvaluation',
    { ...evaluation, shards: 2, maxQueries: 1000 },
    'spec.shards: Invalid value: "object": must be 1 beside maxQueries, keepAdversarial and resumeLedger, which are one attacker\'s',
  ],
  [
    'a limit of seconds that is none',
    'RobustnessEvaluation',
    { ...evaluation, maxSeconds: '0' },
    'spec.maxSeconds: Invalid value: "string": must be a number above 0, as a string such as "600"',
  ],
  [
    'a limit of no passes',
    'RobustnessEvaluation',
    { ...evaluation, maxForwards: 0 },
    'spec.maxForwards: Invalid value: 0: spec.maxForwards in body should be greater than or equal to 1',
  ],
  [
    'smoothing without noise',
    'RobustnessEvaluation',
    { ...evaluation, certification: { sigma: '0' } },
    'spec.certification.sigma: Invalid value: "string": must be a number above 0, up to 10, as a string such as "0.25"',
  ],
  [
    'certificates that are as often wrong as right',
    'RobustnessEvaluation',
    { ...evaluation, certification: { sigma: '0.25', alpha: '0.5' } },
    'spec.certification.alpha: Invalid value: "string": must be a number above 0, below 0.5, as a string such as "0.001"',
  ],
  [
    'too many samples to search',
    'RobustnessEvaluation',
    { ...evaluation, smallestEpsilons: 100001 },
    'spec.smallestEpsilons: Invalid value: 100001: spec.smallestEpsilons in body should be less than or equal to 100000',
  ],
  [
    'a ledger by a prefix',
    'RobustnessEvaluation',
    { ...evaluation, resumeLedger: '01234567' },
    'spec.resumeLedger: Invalid value: "string": must be a digest of 64 hexadecimal digits',
  ],
  [
    'an unknown part',
    'RobustnessEvaluation',
    { ...evaluation, part: 'train' },
    'spec.part: Unsupported value: "train": supported values: "test", "held-out"',
  ],
];

describe.skipIf(skipped('api'))('the custom resources, at a real API server', () => {
  let plane: ControlPlane;
  const apply = (kind: string, { NAME = 'one', ...spec }: Spec) =>
    plane.tryKubectl(
      ['apply', '-f', '-'],
      stringify({ apiVersion: 'jsigr.dev/v1alpha1', kind, metadata: { name: NAME }, spec }),
    );
  beforeAll(async () => {
    plane = await ControlPlane.start('api');
    for (const file of readdirSync(new URL('crds/', root)).filter((name) => name.endsWith('.dev.yaml')))
      await plane.kubectl([
        'apply',
        '--server-side',
        '--validate=strict',
        '-f',
        new URL(`crds/${file}`, root).pathname,
      ]);
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  }, 120_000);
  afterAll(() => plane?.stop());

  test.each(bad)('%s is refused, in words', async (_, kind, spec, message) => {
    const { status, stderr } = await apply(kind, spec);
    expect(stderr).toContain(message);
    expect(status).not.toBe(0);
  });

  test.each(examples)('the example %s applies as it is', async (file) => {
    await plane.kubectl(['apply', '--server-side', '-f', new URL(`examples/${file}`, root).pathname]);
  });

  test('defaults are written out', async () => {
    expect((await apply('RobustnessEvaluation', evaluation)).stderr).toBe('');
    const { spec } = JSON.parse(await plane.kubectl(['get', 'jeval', 'one', '-o', 'json']));
    expect(spec).toEqual({
      ...{ ...evaluation, part: 'test', samples: 0, seed: 0, profile: '', epsilons: [], attacks: [], surrogates: [] },
      ...{ cascade: false, assessMasking: false, keepAdversarial: 0, shards: 1, suspend: false },
    });
  });

  test('all of a spec but suspend is immutable', async () => {
    const full = { ...run, initialModel: 'models/01234567', teacher: 'models/01234567', loop: { samples: 10 } };
    expect((await apply('TrainingRun', full)).stderr).toBe('');
    const schema = parse(readFileSync(new URL('crds/trainingruns.jsigr.dev.yaml', root), 'utf8')).spec.versions[0]
      .schema;
    const changes: Record<string, unknown> = {
      dataset: 'datasets/other',
      architecture: 'mlp',
      activation: 'tanh',
      norm: 'group',
      denoise: true,
      objective: { name: 'standard' },
      epochs: 4,
      batchSize: 32,
      seed: 7,
      checkpointEveryEpochs: 2,
      optimizer: { name: 'sgd' },
      augmentation: { flip: true },
      techniques: { labelSmoothing: '0.1' },
      initialModel: 'models/76543210',
      teacher: null,
      surrogates: ['models/76543210'],
      loop: { samples: 20 },
      suspend: true,
    };
    expect(Object.keys(changes).sort()).toEqual(Object.keys(schema.openAPIV3Schema.properties.spec.properties).sort());
    const { loop } = schema.openAPIV3Schema.properties.spec.properties;
    const loopChanges: Record<string, unknown> = {
      feedback: 'select',
      patience: 3,
      cleanTolerance: '0.1',
      trainingExamples: 9,
      exampleShare: '0.1',
      samples: 20,
      seed: 3,
      profile: 'rapid',
      epsilons: ['0.3'],
      surrogates: ['models/76543210'],
      attacks: [{ name: 'fgsm', epsilons: ['0.1'] }],
      cascade: true,
      assessMasking: true,
      keepAdversarial: 7,
      maxForwards: 100,
      maxBackwards: 100,
      maxSeconds: '5',
    };
    expect(Object.keys(loopChanges).sort()).toEqual(Object.keys(loop.properties).sort());
    const all = [
      ...Object.entries(changes).map(([field, value]) => [field, { [field]: value }] as const),
      ...Object.entries(loopChanges).map(
        ([field, value]) => [`loop\\.${field}`, { loop: { [field]: value } }] as const,
      ),
    ];
    for (const [field, spec] of all) {
      const patch = JSON.stringify({ spec });
      const { stderr } = await plane.tryKubectl(['patch', 'jtrain', 'one', '--type=merge', '-p', patch]);
      expect(stderr, field).toMatch(
        field === 'suspend' ? /^$/ : new RegExp(`spec\\.${field}.*(is|are) immutable: create another`),
      );
    }
  });

  test('tables have the columns that people look for', async () => {
    const [head] = (await plane.kubectl(['get', 'trainingruns,robustnessevaluations'])).split('\n');
    expect(head?.split(/ +/)).toEqual(['NAME', 'STATE', 'CLEAN', 'ROBUST', 'VERDICT', 'PROGRESS', 'AGE']);
    expect(await plane.kubectl(['get', 'jsigr', '-o', 'name'])).toContain('robustnessevaluation.jsigr.dev/one');
  });

  test('kubectl explain says something about every field', async () => {
    for (const plural of ['trainingruns', 'robustnessevaluations'])
      for (const part of ['spec', 'status']) {
        const text = await plane.kubectl(['explain', `${plural}.${part}`, '--recursive=false']);
        expect(text).not.toContain('<no description>');
        expect(text).toMatch(/DESCRIPTION:\n {4}\S/);
      }
  });
});
