import { status } from '@grpc/grpc-js';
import { CreateEvaluationRequest, CreateTrainingRunRequest, Feedback, RunState } from '@jsigr/proto';
import { JsigrError, unavailable } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { LOCAL, OPERATOR } from '../access/caller.ts';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';

let store: Store;
let gateway: TestGateway;
let model: string;
let colour: string;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  gateway.pool.refused.set('trainer', 'never').set('attacker', 'never');
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''));
}, OPENING_MS);
afterAll(async () => {
  await gateway.close();
  await store.close();
});

/** JSON of a request, as the cases change it. */
type Json = Record<string, unknown>;
const usual: Json = { dataset: TINY, architecture: 'lenet', objective: 'jsigr', epochs: 3 };
const attack: Json = { attack: 'mi-fgsm', epsilons: [0.1] };
const loop = (plan: Json, feedback: string = Feedback.FEEDBACK_NONE) => ({ loop: { enabled: true, feedback, plan } });

const training = (request: Json) =>
  gateway.application.trainingRuns.create(CreateTrainingRunRequest.fromJSON({ spec: usual, ...request }), LOCAL);
const evaluation = (spec: Json) =>
  gateway.application.evaluations.create(
    CreateEvaluationRequest.fromJSON({ spec: { model, plan: { attacks: [attack] }, ...spec } }),
    LOCAL,
  );
async function violationsOf(work: Promise<unknown>): Promise<Record<string, string>> {
  const error = await work.then(
    () => expect.fail('it should have been refused'),
    (reason) => JsigrError.from(reason),
  );
  expect(error.code).toBe(status.INVALID_ARGUMENT);
  return Object.fromEntries(error.violations.map(({ field, description }) => [field, description]));
}

describe('while the database is away', () => {
  const plan = { attacks: [attack], surrogates: ['models/0123456789'] };
  const asked: [string, () => Promise<unknown>][] = [
    ['the model of an evaluation', () => evaluation({ dataset: TINY })],
    ['the surrogates of a loop', () => training({ spec: { ...usual, ...loop(plan) } })],
    ['the teacher of a training run', () => training({ spec: { ...usual, teacher: model } })],
  ];
  test.each(asked)('%s is not blamed', async (_, ask) => {
    const find = vi.spyOn(store.models, 'startingWith');
    find.mockRejectedValueOnce(unavailable(DATABASE_UNAVAILABLE, 'the database server cannot be reached'));
    await expect(ask()).rejects.toMatchObject({ reason: DATABASE_UNAVAILABLE, violations: [] });
    expect(find).toHaveBeenCalledOnce();
    find.mockRestore();
  });
});

describe('a training run is refused for', () => {
  // what -> change of the spec -> field -> what the description must say
  const cases: [string, Json, string, RegExp][] = [
    ['an unknown dataset', { dataset: 'datasets/nope' }, 'spec.dataset', /no dataset .*known: glyphs, .*tiny/],
    ['a dataset that is no name', { dataset: 'tiny' }, 'spec.dataset', /not of the form datasets\/\{id\}/],
    [
      'an unknown architecture',
      { architecture: 'vit' },
      'spec.architecture',
      /no architecture "vit"; known: mlp, lenet/,
    ],
    ['an unknown activation', { activation: 'step' }, 'spec.activation', /expected one of "relu"/],
    ['an unknown norm', { norm: 'layer' }, 'spec.norm', /expected one of "none"/],
    ['a norm that the architecture has not', { architecture: 'mlp', norm: 'batch' }, 'spec.norm', /mlp: none/],
    ['denoising of a network without stages', { denoise: true }, 'spec.denoise', /lenet has no denoising blocks/],
    [
      'an unknown objective',
      { objective: 'magic' },
      'spec.objective',
      /no objective "magic"; known: standard, .*jsigr/,
    ],
    [
      'an unknown setting',
      { objectiveSettings: { lambda: '1' } },
      'spec.objectiveSettings.lambda',
      /is not a setting; known: jacobianWeight/,
    ],
    [
      'a setting out of range',
      { objectiveSettings: { jacobianWeight: '-1' } },
      'spec.objectiveSettings.jacobianWeight',
      /^-1 given: .*>=0/,
    ],
    [
      'a setting that is no number',
      { objectiveSettings: { projections: 'many' } },
      'spec.objectiveSettings.projections',
      /^many given: .*expected number/,
    ],
    ['no epochs', { epochs: 0 }, 'spec.epochs', /^0 given, an integer from 1 to 10000 allowed/],
    ['too many epochs', { epochs: 10_001 }, 'spec.epochs', /10001 given/],
    ['too large a batch', { batchSize: 4097 }, 'spec.batchSize', /from 1 to 4096/],
    ['a seed beyond 32 bits', { seed: 2 ** 32 }, 'spec.seed', /from 0 to 4294967295/],
    ['a seed that is no integer', { seed: 0.5 }, 'spec.seed', /^0.5 given/],
    ['an unknown optimiser', { optimizer: { name: 'lion' } }, 'spec.optimizer.name', /known: adam, sgd/],
    ['an unknown schedule', { optimizer: { schedule: 'wave' } }, 'spec.optimizer.schedule', /known: constant, cosine/],
    ['a learning rate above 10', { optimizer: { learningRate: 11 } }, 'spec.optimizer.learningRate', /up to 10/],
    ['momentum of adam', { optimizer: { momentum: 0.9 } }, 'spec.optimizer.momentum', /only sgd/],
    ['a momentum of 1', { optimizer: { name: 'sgd', momentum: 1 } }, 'spec.optimizer.momentum', /below 1/],
    ['a weight decay below 0', { optimizer: { weightDecay: -1 } }, 'spec.optimizer.weightDecay', /0 to 10/],
    ['a weight decay above 10', { optimizer: { weightDecay: 11 } }, 'spec.optimizer.weightDecay', /0 to 10/],
    ['a surrogate without name', { surrogates: [''] }, 'spec.surrogates[0]', /not of the form models/],
    ['shifts by too many pixels', { augmentation: { cropPadding: 9 } }, 'spec.augmentation.cropPadding', /0 to 8/],
    ['a cutout of no size', { augmentation: { cutout: 65 } }, 'spec.augmentation.cutout', /from 0 to 64/],
    ['a cutout of the whole image', { augmentation: { cutout: 28 } }, 'spec.augmentation.cutout', /sides of 28/],
    ['an unknown technique', { techniques: { luck: '1' } }, 'spec.techniques.luck', /known: labelSmoothing/],
    ['a decay of 1', { techniques: { averageDecay: '1' } }, 'spec.techniques.averageDecay', /^1 given/],
    [
      'weights of two classes of ten',
      { techniques: { classWeights: '1,2' } },
      'spec.techniques.classWeights',
      /^2 numbers given, the dataset has 10 classes/,
    ],
    [
      'settings that contradict each other',
      { objectiveSettings: { mask: 'none' } },
      'spec.objectiveSettings.mask',
      /selective term needs saliency/,
    ],
    [
      'saliency that never comes',
      { objectiveSettings: { maskWarmupEpochs: '4' } },
      'spec.objectiveSettings.maskWarmupEpochs',
      /^4 given, but training ends after 3 epochs/,
    ],
    [
      'a teacher that is missing',
      { objectiveSettings: { saliencySource: 'teacher' } },
      'spec.teacher',
      /^is missing: jsigr takes its saliency from a teacher/,
    ],
    ['a teacher that is unknown', { teacher: 'models/00000000' }, 'spec.teacher', /models\/00000000/],
    ['surrogates that are missing', { objective: 'ensemble-at' }, 'spec.surrogates', /^are missing/],
    ['too many surrogates', { surrogates: Array(9).fill('models/00000000') }, 'spec.surrogates', /at most 8/],
    [
      'penalties to adapt where there are none',
      { objective: 'standard', ...loop({ attacks: [attack] }, Feedback.FEEDBACK_ADAPT) },
      'spec.loop.feedback',
      /^standard has no penalties/,
    ],
    [
      'adapting on the test part',
      loop({ attacks: [attack], part: 'test' }, Feedback.FEEDBACK_ADAPT),
      'spec.loop.plan.part',
      /held-out samples of the training set only/,
    ],
    [
      'augmenting without transferred examples',
      loop({ attacks: [{ attack: 'fgsm', epsilons: [0.1] }] }, Feedback.FEEDBACK_AUGMENT),
      'spec.loop.plan.attacks',
      /the plan needs one of mi-fgsm, transfer/,
    ],
    [
      'a setting of another feedback',
      { loop: { enabled: true, trainingExamples: 10 } },
      'spec.loop.trainingExamples',
      /only feedback augment uses it/,
    ],
    [
      'a patience of no early stopping',
      { loop: { enabled: true, feedback: Feedback.FEEDBACK_SELECT, patience: 3 } },
      'spec.loop.patience',
      /only feedback early_stop uses it/,
    ],
    [
      'a patience without end',
      { loop: { enabled: true, feedback: Feedback.FEEDBACK_EARLY_STOP, patience: 1001 } },
      'spec.loop.patience',
      /1000/,
    ],
    [
      'certificates of every checkpoint',
      loop({ attacks: [attack], certification: { sigma: 0.1 } }),
      'spec.loop.plan.certification',
      /^is for finished models/,
    ],
    [
      'smallest radii of every checkpoint',
      loop({ attacks: [attack], smallestEpsilons: 5 }),
      'spec.loop.plan.smallestEpsilons',
      /^is for finished models/,
    ],
    [
      'too many training examples',
      { loop: { enabled: true, feedback: Feedback.FEEDBACK_AUGMENT, trainingExamples: 5000 } },
      'spec.loop.trainingExamples',
      /from 0 to 4096/,
    ],
    ['too many attacks', loop({ attacks: Array(33).fill(attack) }), 'spec.loop.plan.attacks', /^33 given, 1 to 32/],
    ['noise beyond the pixel range', { augmentation: { noise: 1.5 } }, 'spec.augmentation.noise', /^1.5 given, 0 to 1/],
    [
      'an unknown attack',
      loop({ attacks: [attack, { attack: 'shouting', epsilons: [0.1] }] }),
      'spec.loop.plan.attacks[1].attack',
      /"shouting" is none of noise, gaussian-noise, fgsm/,
    ],
    [
      'a norm that the attack does not know',
      loop({ attacks: [{ ...attack, norm: 'l0' }] }),
      'spec.loop.plan.attacks[0].norm',
      /"l0" given, linf/,
    ],
    [
      'an attack without radius',
      loop({ attacks: [{ attack: 'fgsm' }] }),
      'spec.loop.plan.attacks[0].epsilons',
      /^0 given/,
    ],
    [
      'a radius in 0..255',
      loop({ attacks: [{ attack: 'fgsm', epsilons: [0.1, 8] }] }),
      'spec.loop.plan.attacks[0].epsilons[1]',
      /^8 given, a number from 0 to 1 allowed/,
    ],
    [
      'a radius that is no number',
      loop({ attacks: [{ attack: 'fgsm', epsilons: ['NaN'] }] }),
      'spec.loop.plan.attacks[0].epsilons[0]',
      /^NaN given/,
    ],
    [
      'settings that the attack does not have',
      loop({ attacks: [{ attack: 'pgd', epsilons: [0.1], settings: { stepz: '3' } }] }),
      'spec.loop.plan.attacks[0].settings.stepz',
      /known: steps/,
    ],
    [
      'too many examples',
      loop({ attacks: [{ ...attack, keepExamples: 17 }] }),
      'spec.loop.plan.attacks[0].keepExamples',
      /0 to 16/,
    ],
    [
      'an unknown profile',
      loop({ profile: 'quick' }),
      'spec.loop.plan.profile',
      /"quick" given, smoke, rapid, standard/,
    ],
    [
      'a profile beside attacks',
      loop({ profile: 'smoke', attacks: [attack] }),
      'spec.loop.plan.profile',
      /give one of the two/,
    ],
    [
      'a profile in a norm that its attacks do not know',
      loop({ profile: 'smoke@l1' }),
      'spec.loop.plan.attacks[1].norm',
      /"l1" given, linf, l2 allowed/,
    ],
    ['an unknown part', loop({ attacks: [attack], part: 'train' }), 'spec.loop.plan.part', /test, held-out allowed/],
    [
      'selecting on test samples',
      loop({ attacks: [attack], part: 'test' }, Feedback.FEEDBACK_SELECT),
      'spec.loop.plan.part',
      /held-out samples of the training set only/,
    ],
    [
      'selecting without transferred examples',
      loop({ attacks: [{ attack: 'pgd', epsilons: [0.1] }] }, Feedback.FEEDBACK_SELECT),
      'spec.loop.plan.attacks',
      /needs one of mi-fgsm/,
    ],
    [
      'an unknown feedback',
      loop({ attacks: [attack] }, 'FEEDBACK_MAGIC'),
      'spec.loop.feedback',
      /FEEDBACK_AUGMENT are/,
    ],
    [
      'settings of a loop that is off',
      { loop: { feedback: Feedback.FEEDBACK_EARLY_STOP, patience: 3, plan: { profile: 'nonsense' } } },
      'spec.loop.enabled',
      /^must be true: feedback, plan, patience given$/,
    ],
    [
      'radii beside attacks that have their own',
      loop({ attacks: [attack], epsilons: [0.2] }),
      'spec.loop.plan.epsilons',
      /^stand beside attacks/,
    ],
    [
      'a surrogate that is no name',
      loop({ attacks: [attack], surrogates: ['mlp'] }),
      'spec.loop.plan.surrogates[0]',
      /not of the form models/,
    ],
    [
      'a surrogate that there is not',
      loop({ attacks: [attack], surrogates: ['models/0123456789'] }),
      'spec.loop.plan.surrogates[0]',
      /there is no model/,
    ],
  ];
  for (const [what, change, field, says] of cases)
    test(what, async () => {
      const violations = await violationsOf(training({ spec: { ...usual, ...change } }));
      expect(Object.keys(violations)).toEqual([field]);
      expect(violations[field]).toMatch(says);
    });

  const requests: [string, Json, string][] = [
    ['a long name', { displayName: 'x'.repeat(101) }, 'displayName'],
    ['a long request id', { requestId: 'x'.repeat(101) }, 'requestId'],
    ['a name with NUL', { displayName: 'a\0b' }, 'displayName'],
    ['a name that a terminal would obey', { displayName: '\u001b[2J' }, 'displayName'],
    ['half of a surrogate pair', { requestId: '\ud800' }, 'requestId'],
    ['a label with NUL', { labels: { team: '\0' } }, 'labels.team'],
    ['a label named NUL', { labels: { '\0': '' } }, 'labels'],
    ['too many labels', { labels: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`l${i}`, ''])) }, 'labels'],
    ['a long label', { labels: { team: 'x'.repeat(64) } }, 'labels'],
    ['a label of the gateway', { labels: { role: 'surrogate' } }, 'labels.role'],
    ['the label of a resource', { labels: { 'kubernetes.uid': 'u-1' } }, 'labels.kubernetes.uid'],
  ];
  for (const [what, request, field] of requests)
    test(what, async () => {
      expect(Object.keys(await violationsOf(training(request)))).toEqual([field]);
    });

  test('the labels of a resource, unless the operator gives them; evaluations too', async () => {
    const labels = { 'kubernetes.kind': 'TrainingRun', 'kubernetes.name': 'mine', 'kubernetes.uid': 'u-1' };
    const { trainingRuns, evaluations } = gateway.application;
    const request = { spec: { model, plan: { attacks: [attack] } }, labels };
    expect(
      Object.keys(await violationsOf(evaluations.create(CreateEvaluationRequest.fromJSON(request), LOCAL))),
    ).toEqual(['labels.kubernetes.kind', 'labels.kubernetes.name', 'labels.kubernetes.uid']);
    expect(await store.runs.labelled('evaluation', { 'kubernetes.uid': 'u-1' })).toEqual([]);
    expect((await evaluations.create(CreateEvaluationRequest.fromJSON(request), OPERATOR)).labels).toEqual(labels);
    const training = CreateTrainingRunRequest.fromJSON({ spec: usual, labels });
    expect((await trainingRuns.create(training, OPERATOR)).labels).toEqual(labels);
  });

  test('fixed networks that do not fit the run, each under its own field', async () => {
    const other = await gateway.checkpoint(2, 'mlp');
    await gateway.application.models.record(other.replace('models/', ''));
    const spec = { ...usual, initialModel: other, teacher: other, surrogates: [other] };
    expect(await violationsOf(training({ spec }))).toEqual({
      'spec.teacher': expect.stringMatching(/(nothing uses it|is a mlp, a lenet is trained)/),
      'spec.initialModel': `${other} is a mlp, a lenet is trained`,
      'spec.surrogates': '1 given, but jsigr uses none: ensemble-at does',
    });
  });

  test('weights to begin with that were trained on what its seed holds out', async () => {
    const { digest: dataset } = (await store.datasets.find('tiny')) ?? {};
    const manifest = {
      model: { architecture: 'lenet', input: [28, 28, 1], classes: 10 },
      dataset: { name: 'tiny', digest: dataset },
      seed: 3,
      configuration: { heldOutFraction: 0.05 },
    };
    const files = { 'manifest.json': Buffer.from(JSON.stringify(manifest)) };
    const { digest } = await gateway.artefacts.put('models', files);
    await gateway.application.models.record(digest);
    const spec = { ...usual, initialModel: `models/${digest}` };
    expect(await violationsOf(training({ spec: { ...spec, seed: 4 } }))).toEqual({
      'spec.initialModel': `models/${digest} was trained on images that seed 4 holds out: use seed 3`,
    });
    expect((await training({ spec: { ...spec, seed: 3 } })).spec).toMatchObject({ seed: 3 });
  });

  test('an imported network without its model, with switches, or that is a black box', async () => {
    const onnx = { ...usual, architecture: 'onnx', norm: 'batch' };
    expect(await violationsOf(training({ spec: onnx }))).toEqual({
      'spec.initialModel': 'is missing: onnx is an imported network',
      'spec.norm': 'batch given, but an imported network stays as it is: leave it out',
    });
    const manifest = { model: { architecture: 'onnx', input: [28, 28, 1], classes: 10 }, blackBox: 'it is quantised' };
    const files = { 'manifest.json': Buffer.from(JSON.stringify(manifest)) };
    const { digest } = await gateway.artefacts.put('models', files);
    await gateway.application.models.record(digest);
    const asked = { ...usual, architecture: 'onnx', initialModel: `models/${digest}` };
    expect(await violationsOf(training({ spec: asked }))).toEqual({
      'spec.initialModel': `models/${digest} has no gradients: it is a black box, it is quantised`,
    });
  });

  test('several things at once, and says all of them', async () => {
    const spec = { ...usual, epochs: 0, architecture: 'vit', optimizer: { name: 'lion' } };
    const violations = await violationsOf(training({ spec, displayName: 'x'.repeat(101) }));
    expect(Object.keys(violations).sort()).toEqual([
      'displayName',
      'spec.architecture',
      'spec.epochs',
      'spec.optimizer.name',
    ]);
  });

  test('no spec at all', async () => {
    expect(await violationsOf(training({ spec: undefined }))).toHaveProperty('spec', 'is missing');
  });
});

describe('an evaluation is refused for', () => {
  const cases: [string, () => Json, string, RegExp][] = [
    ['a model that there is not', () => ({ model: 'models/00000000' }), 'spec.model', /there is no model/],
    ['a model that is no name', () => ({ model: 'lenet' }), 'spec.model', /not of the form models/],
    ['an unknown dataset', () => ({ dataset: 'datasets/nope' }), 'spec.dataset', /known: glyphs/],
    ['images of another size', () => ({ dataset: colour }), 'spec.dataset', /\[2,3,1\].*the model takes \[28,28,1\]/],
    [
      'a radius beyond the longest distance in l2',
      () => ({ plan: { attacks: [{ attack: 'pgd', norm: 'l2', epsilons: [28.5] }] } }),
      'spec.plan.attacks[0].epsilons[0]',
      /from 0 to 28 allowed/,
    ],
    ['a model beside models', () => ({ models: [model, model] }), 'spec.model', /beside models/],
    ['a matrix of one model', () => ({ model: '', models: [model] }), 'spec.models', /^1 given, 2 to 16 allowed/],
    ['the same model twice', () => ({ model: '', models: [model, model] }), 'spec.models[1]', /there already/],
    ['a matrix by shards', () => ({ model: '', models: [model, model], shards: 2 }), 'spec.shards', /one attacker/],
    [
      'images kept by shards',
      () => ({ shards: 4, plan: { keepAdversarial: 1 } }),
      'spec.plan.keepAdversarial',
      /one attacker, and 4 shards/,
    ],
    [
      'a ledger that shards go on from',
      () => ({ shards: 2, plan: { resumeLedger: 'a'.repeat(64) } }),
      'spec.plan.resumeLedger',
      /one attacker/,
    ],
    [
      'a limit that is no whole number of passes',
      () => ({ plan: { maxForwards: 1.5 } }),
      'spec.plan.maxForwards',
      /^1.5 given, an integer from 0/,
    ],
    [
      'a limit of less than no seconds',
      () => ({ plan: { maxSeconds: -1 } }),
      'spec.plan.maxSeconds',
      /^-1 given, a number from 0 allowed/,
    ],
    [
      'too many samples to search',
      () => ({ plan: { smallestEpsilons: 100_001 } }),
      'spec.plan.smallestEpsilons',
      /^100001 given, an integer from 0 to 100000 allowed/,
    ],
    [
      'smoothing without noise',
      () => ({ plan: { certification: { sigma: 0 } } }),
      'spec.plan.certification.sigma',
      /^0 given, a number above 0, up to 10, allowed/,
    ],
    [
      'too few draws to certify anything',
      () => ({ plan: { certification: { sigma: 0.1, draws: 99 } } }),
      'spec.plan.certification.draws',
      /^99 given, an integer from 100/,
    ],
    [
      'certificates that are as often wrong as right',
      () => ({ plan: { certification: { sigma: 0.1, alpha: 0.5 } } }),
      'spec.plan.certification.alpha',
      /^0.5 given, a number from 0 below 0.5 allowed/,
    ],
    [
      'a matrix with certificates',
      () => ({ model: '', models: [model, model], plan: { certification: { sigma: 0.1 } } }),
      'spec.plan.certification',
      /not for a transfer matrix/,
    ],
    [
      'a matrix with a limit',
      () => ({ model: '', models: [model, model], plan: { maxBackwards: 9 } }),
      'spec.plan.maxBackwards',
      /not for a transfer matrix/,
    ],
    [
      'a matrix by a profile',
      () => ({ model: '', models: [model, model], plan: { profile: 'smoke' } }),
      'spec.plan.profile',
      /not for a transfer matrix/,
    ],
  ];
  for (const [what, change, field, says] of cases)
    test(what, async () => {
      if (what.includes('size')) {
        await store.datasets.add('other', {
          ...(await gateway.application.datasets.byId('tiny')),
          name: 'datasets/other',
          input: [2, 3, 1],
        });
        colour = 'datasets/other';
      }
      const violations = await violationsOf(evaluation(change()));
      expect(Object.keys(violations)).toContain(field);
      expect(violations[field]).toMatch(says);
    });
});

describe('what is accepted', () => {
  test('a run is stored with its defaults written out', async () => {
    const run = await training({ displayName: 'mine', labels: { team: 'blue' } });
    expect(run).toMatchObject({
      displayName: 'mine',
      labels: { team: 'blue' },
      state: RunState.RUN_STATE_QUEUED,
      spec: {
        batchSize: 64,
        checkpointEveryEpochs: 1,
        optimizer: { name: 'adam', learningRate: 0.001, schedule: 'constant' },
        loop: undefined,
      },
    });
  });

  test('a loop without plan gets a small honest one, with a radius that fits the images', async () => {
    const { spec } = await training({ spec: { ...usual, loop: { enabled: true } } });
    expect(spec?.loop).toMatchObject({ feedback: Feedback.FEEDBACK_NONE, plan: { part: 'held-out', samples: 200 } });
    expect(spec?.loop?.plan?.attacks.map(({ attack, norm, epsilons }) => [attack, norm, epsilons])).toEqual([
      ['noise', 'linf', [0.1]],
      ['fgsm', 'linf', [0.1]],
      ['pgd', 'linf', [0.1]],
      ['mi-fgsm', 'linf', [0.1]],
    ]);
  });

  test('a profile is written out as its attacks', async () => {
    const { spec } = await evaluation({ plan: { profile: 'autoattack@l2', epsilons: [0.5] } });
    expect(spec?.plan).toMatchObject({ profile: '', epsilons: [], cascade: true });
    expect(spec?.plan?.attacks.map(({ attack, norm, epsilons }) => [attack, norm, epsilons])).toEqual([
      ['apgd', 'l2', [0.5]],
      ['apgd-t', 'l2', [0.5]],
      ['fab-t', 'l2', [0.5]],
      ['square', 'l2', [0.5]],
    ]);
  });

  test('radii without attacks are those of the usual attacks', async () => {
    const { spec } = await evaluation({ plan: { epsilons: [0.02, 0.05] } });
    expect(spec?.plan?.epsilons).toEqual([]);
    expect(spec?.plan?.attacks.length).toBeGreaterThan(1);
    for (const { epsilons } of spec?.plan?.attacks ?? []) expect(epsilons).toEqual([0.02, 0.05]);
  });

  test('a loop that is off is none', async () => {
    expect((await training({ spec: { ...usual, loop: { enabled: false } } })).spec?.loop).toBeUndefined();
  });

  test('sgd has its own learning rate', async () => {
    const { spec } = await training({ spec: { ...usual, optimizer: { name: 'sgd', momentum: 0.9 } } });
    expect(spec?.optimizer).toMatchObject({ learningRate: 0.05, momentum: 0.9 });
  });

  test('the same request under the same id is the same run, also when it spells its defaults out', async () => {
    const first = await training({ requestId: 'r1', labels: { a: '1', b: '2' } });
    const spelledOut = { ...usual, batchSize: 64, optimizer: { name: 'adam' } };
    const again = await training({ requestId: 'r1', labels: { b: '2', a: '1' }, spec: spelledOut });
    expect(again.name).toBe(first.name);
    const renamed = await training({
      requestId: 'r1',
      labels: { a: '1', b: '2' },
      displayName: 'as a longer sweep calls it',
    });
    expect(renamed.name).toBe(first.name);
    await expect(training({ requestId: 'r1' })).rejects.toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });

  test('a teacher and surrogates may be named by the first digits too, and are stored by all of them', async () => {
    const short = model.slice(0, 'models/'.length + 8);
    const teaching = { ...usual, teacher: short, objectiveSettings: { saliencySource: 'teacher' } };
    expect((await training({ spec: teaching })).spec?.teacher).toBe(model);
    const ensemble = { ...usual, objective: 'ensemble-at', surrogates: [short], initialModel: short };
    expect((await training({ spec: ensemble })).spec).toMatchObject({ surrogates: [model], initialModel: model });
  });

  test('an imported network is trained from its model on', async () => {
    const imported = await gateway.checkpoint(3, 'onnx');
    await gateway.application.models.record(imported.replace('models/', ''));
    const { spec } = await training({ spec: { ...usual, architecture: 'onnx', initialModel: imported } });
    expect(spec).toMatchObject({ architecture: 'onnx', initialModel: imported, norm: '' });
  });

  test('a model may be named by the first digits of its digest', async () => {
    const { spec } = await evaluation({ model: model.slice(0, 'models/'.length + 8) });
    expect(spec).toMatchObject({ model, dataset: TINY, plan: { part: 'test' } });
  });
});
