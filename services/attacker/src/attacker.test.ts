import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { decodeAdversarial, decodeExamples, decodeLedger } from '@jsigr/attacks';
import { type Dataset, encodeDataset, glyphs, holdOut, type Split } from '@jsigr/datasets';
import { createEngine, float32 } from '@jsigr/engine';
import {
  argmax,
  classifierToOnnx,
  createClassifier,
  encodeCheckpoint,
  importModel,
  initialParameters,
  predict,
  resolveModelSpec,
} from '@jsigr/models';
import {
  AttackAccess,
  AttackerServiceClient,
  AttackPlan,
  ComputeTransferMatrixRequest,
  EvaluateRequest,
  EvaluationPlan,
  type EvaluationProgress,
  FollowRunRequest,
  type ReportRobustnessRequest,
  type ResumePoint,
  type RobustnessReport,
  type TrainerServiceServer,
  TrainerServiceService,
} from '@jsigr/proto';
import {
  type ArtefactInfo,
  type ArtefactStore,
  connect,
  createLogger,
  directoryArtefactStore,
  type GrpcServer,
  JsigrError,
  Load,
  pump,
  serverStream,
  startGrpcServer,
  WorkerDoor,
} from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attackerWorker } from './index.ts';

const spec = resolveModelSpec({ architecture: 'mlp', input: [28, 28, 1], classes: 10 });
const heldOutFraction = 0.25;
const modelSeed = 1;
const load = new Load();
let root: string;
let artefacts: ArtefactStore;
let server: GrpcServer;
let attacker: AttackerServiceClient;
let dataset: Dataset;
let datasetInfo: ArtefactInfo;
let model: ArtefactInfo;
let surrogate: ArtefactInfo;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-attacker-'));
  artefacts = directoryArtefactStore(root);
  dataset = await labelledByModel(glyphs({ variant: 'gray28', train: 40, test: 24, seed: 1 }));
  datasetInfo = await artefacts.put('datasets', encodeDataset(dataset));
  model = await artefacts.put('models', checkpointOf(modelSeed, 10));
  surrogate = await artefacts.put('models', checkpointOf(2, 0));
  const context = {
    artefacts,
    logger: createLogger('test', 'silent'),
    compute: { threads: 1 },
    signal: new AbortController().signal,
    load,
    stateMs: 0,
    silenceMs: 0,
    fencingToken: () => undefined,
    onDrain: () => {},
    door: new WorkerDoor(''),
  };
  const { module, services } = attackerWorker;
  server = await startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0 });
  attacker = connect(AttackerServiceClient, server);
});

afterAll(async () => {
  attacker.close();
  await server.close(0);
  await rm(root, { recursive: true, force: true });
});

/** An untrained network is always right about its own predictions: clean accuracy is 1 by construction. */
async function labelledByModel(original: Dataset): Promise<Dataset> {
  const engine = await createEngine({ threads: 1 });
  const classifier = createClassifier(spec, initialParameters(spec, modelSeed), 'teacher');
  const relabel = async (split: Split): Promise<Split> => {
    const images = float32(
      Float32Array.from(split.images, (value) => value / 255),
      [split.count, 28, 28, 1],
    );
    const { data } = (await predict(engine, classifier, images)).logits;
    const rows = Array.from({ length: split.count }, (_, i) => (data as Float32Array).subarray(i * 10, (i + 1) * 10));
    return { ...split, labels: Uint8Array.from(rows, argmax) };
  };
  const labelled = { ...original, train: await relabel(original.train), test: await relabel(original.test) };
  await engine.dispose();
  return labelled;
}

function checkpointOf(seed: number, step: number) {
  return encodeCheckpoint({
    run: 'trainingRuns/a',
    step,
    epoch: 2,
    model: spec,
    dataset: { name: 'glyphs', digest: datasetInfo.digest },
    objective: { name: 'standard', settings: {} },
    configuration: { heldOutFraction },
    seed: modelSeed,
    engine: {},
    metrics: {},
    parameters: initialParameters(spec, seed),
    optimizer: {},
  });
}

const plan: EvaluationPlan = EvaluationPlan.fromPartial({
  attacks: [
    { attack: 'noise', epsilons: [0.1] },
    { attack: 'pgd', epsilons: [0.05, 0.2], settings: { steps: '3' }, keepExamples: 2 },
    { attack: 'mi-fgsm', epsilons: [0.2], settings: { steps: '3' } },
  ],
  part: 'test',
  seed: 5,
});

function request(change: Partial<EvaluateRequest> = {}): EvaluateRequest {
  return {
    modelDigest: model.digest,
    datasetDigest: datasetInfo.digest,
    surrogateDigests: [surrogate.digest],
    plan,
    dataset: 'datasets/glyphs',
    run: 'evaluations/a',
    resume: undefined,
    shard: undefined,
    ledgerDigests: [],
    ...change,
  };
}

async function evaluate(change: Partial<EvaluateRequest> = {}) {
  const progress: EvaluationProgress[] = [];
  let report: RobustnessReport | undefined;
  for await (const { message } of serverStream(attacker, 'evaluate', request(change))) {
    if (message?.$case === 'progress') progress.push(message.value);
    if (message?.$case === 'report') report = message.value;
  }
  if (!report) throw new Error('no report');
  return { progress, report };
}

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

describe('an evaluation that is interrupted', () => {
  test('goes on from its ledger at any point: the same report, ledger and examples', async () => {
    const points: ResumePoint[] = [];
    let whole: RobustnessReport | undefined;
    for await (const { message } of serverStream(attacker, 'evaluate', request())) {
      if (message?.$case === 'resumePoint') points.push(message.value);
      if (message?.$case === 'report') whole = message.value;
    }
    const [first, last] = [points[0], points.at(-1)];
    expect(first?.step).toBeGreaterThan(0);
    const figures = (report: RobustnessReport | undefined) => ({
      ...report,
      seconds: 0,
      attacks: report?.attacks.map((attack) => ({ ...attack, seconds: 0 })),
    });
    for (const resume of [first, last]) {
      const { report } = await evaluate({ resume });
      expect(figures(report)).toEqual(figures(whole));
      expect(report.examples.length).toBeGreaterThan(0);
    }
  });

  test('of something else is not gone on with', async () => {
    let point: ResumePoint | undefined;
    for await (const { message } of serverStream(attacker, 'evaluate', request()))
      if (message?.$case === 'resumePoint') point = message.value;
    const error = await failureOf(evaluate({ resume: point, plan: { ...plan, seed: 6 } }));
    expect(error.message).toContain('another model, dataset, plan, loss, seed or engine');
  });
});

describe('an evaluation', () => {
  test('ends with a report: clean and robust accuracies with intervals, worst cases, and what was not assessed', async () => {
    const { progress, report } = await evaluate();
    expect(report).toMatchObject({
      model: `models/${model.digest}`,
      step: 10,
      epoch: 2,
      dataset: 'datasets/glyphs',
      part: 'test',
      cleanAccuracy: { successes: 24, trials: 24, value: 1, upper: 1, confidence: 0.95 },
      surrogates: [`models/${surrogate.digest}`],
      seed: 5,
      masking: 'MASKING_VERDICT_NOT_ASSESSED',
    });
    expect(report.attacks.map(({ attack, epsilon, access }) => [attack, epsilon, access])).toEqual([
      ['noise', 0.1, AttackAccess.ATTACK_ACCESS_CONTROL],
      ['pgd', 0.05, AttackAccess.ATTACK_ACCESS_WHITE_BOX],
      ['pgd', 0.2, AttackAccess.ATTACK_ACCESS_WHITE_BOX],
      ['mi-fgsm', 0.2, AttackAccess.ATTACK_ACCESS_TRANSFER],
    ]);
    expect(report.attacks.map(({ settings }) => settings)).toEqual([
      {},
      { steps: '3' },
      { steps: '3' },
      { steps: '3' },
    ]);
    expect(
      report.epsilons.map(({ epsilon, whiteBox, transferred }) => [epsilon, whiteBox?.trials, transferred?.trials]),
    ).toEqual([
      [0.05, 24, undefined],
      [0.2, 24, 24],
    ]);
    // An untrained network has no margin to speak of.
    expect(report.attacks[2]?.robustAccuracy?.value).toBeLessThan(0.5);
    const fractions = progress.map(({ fraction }) => fraction);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(Math.max(...fractions)).toBeLessThanOrEqual(1);
  });

  test('of an imported ONNX file is white-box, and finds what it finds on the checkpoint that the file was made of', async () => {
    const onnx = classifierToOnnx(createClassifier(spec, initialParameters(spec, modelSeed), 'exported'));
    const imported = await artefacts.put('models', await importModel({ 'model.onnx': onnx }));
    const [{ report: ours }, { report }] = [await evaluate(), await evaluate({ modelDigest: imported.digest })];
    expect(report).toMatchObject({ model: `models/${imported.digest}`, step: 0, cleanAccuracy: { value: 1 } });
    const found = ({ attacks }: RobustnessReport) =>
      attacks.map(({ attack, access, robustAccuracy }) => [attack, access, robustAccuracy?.value]);
    expect(found(report)).toEqual(found(ours));
    const heldOut = { modelDigest: imported.digest, plan: { ...plan, part: 'held-out' } };
    expect((await failureOf(evaluate(heldOut))).message).toContain('which samples its training held out is not known');
  });

  test('keeps the asked examples at each epsilon, within the ball around their images', async () => {
    const { report } = await evaluate();
    expect(report.examples.map(({ attack, epsilon, index }) => [attack, epsilon, index])).toEqual([
      ['pgd', 0.05, 0],
      ['pgd', 0.05, 1],
      ['pgd', 0.2, 0],
      ['pgd', 0.2, 1],
    ]);
    for (const { index, epsilon, image, label, settings } of report.examples) {
      expect(settings).toEqual({ steps: '3' });
      const values = new Float32Array(Uint8Array.from(image?.data ?? []).buffer);
      const distances = Array.from(values, (value, i) =>
        Math.abs(value - (dataset.test.images[index * 784 + i] ?? 0) / 255),
      );
      expect(Math.max(...distances)).toBeLessThanOrEqual(epsilon + 1e-6);
      expect(label).toBe(dataset.test.labels[index]);
    }
  });

  test('ends at a limit of its plan, of one attacker or of shards together, and says what was left undone', async () => {
    // So small a radius turns nothing: 3 steps for 24 samples, then 24 more.
    const attacks = [
      AttackPlan.fromPartial({ attack: 'pgd', epsilons: [1e-5], settings: { steps: '3' } }),
      AttackPlan.fromPartial({ attack: 'fgsm', epsilons: [1e-5] }),
    ];
    const limited = { ...plan, attacks, maxBackwards: 30 };
    const { report } = await evaluate({ plan: limited });
    expect(report.attacks).toMatchObject([
      { attack: 'pgd', unattempted: 0, cutShort: 24, backwards: 48 },
      { attack: 'fgsm', unattempted: 24, cutShort: 0, backwards: 0 },
    ]);
    expect(report.flags.join()).toContain(
      'the budget was spent before the plan was done: pgd (linf, 0.00001) stopped early on 24 samples; fgsm (linf, 0.00001) never began on 24.',
    );
    expect((await evaluate({ plan: limited })).report.ledger).toBe(report.ledger);
    const whole = await evaluate({ plan: { ...plan, attacks } });
    expect(whole.report.attacks).toMatchObject([{ backwards: 72, cutShort: 0 }, { unattempted: 0 }]);

    const shard = { index: 0, count: 2 };
    const { report: part } = await evaluate({ plan: limited, shard });
    const { report: merged } = await evaluate({ plan: limited, ledgerDigests: [part.ledger] });
    // Half of the limit: one step is over it, and nothing is made up for in the end.
    expect(merged.attacks.map(({ backwards }) => backwards)).toEqual([24, 0]);
  });

  test('finds the smallest radii and certifies where its plan asks for it, of shards in the end', async () => {
    const certification = { sigma: 0.1, samples: 5, draws: 200, alpha: 0.01 };
    const asked = EvaluationPlan.fromPartial({ ...plan, smallestEpsilons: 10, certification });
    const { report, progress } = await evaluate({ plan: asked });
    const [pgd, transferred] = report.smallestEpsilons;
    expect(pgd).toMatchObject({ attack: 'pgd', norm: 'linf', largestEpsilon: 0.2, settings: { steps: '3' } });
    expect(pgd?.turned?.trials).toBe(10);
    expect(pgd?.quantiles.map(({ share }) => share)).toEqual([0.25, 0.5, 0.75]);
    // An untrained network has no margin to speak of: far less than the radii of the plan turns half of the samples.
    expect(pgd?.quantiles[1]?.epsilon).toBeLessThan(0.05);
    expect(transferred).toMatchObject({ attack: 'mi-fgsm', access: AttackAccess.ATTACK_ACCESS_TRANSFER });
    expect(report.certifiedAccuracy).toMatchObject({ sigma: 0.1, draws: 200, alpha: 0.01, samples: 5, forwards: 1500 });
    expect(report.certifiedAccuracy?.shares[0]).toMatchObject({ radius: 0, accuracy: { trials: 5 } });
    expect(progress.map(({ attack }) => attack)).toContain('smoothing');
    const files = Object.keys(await artefacts.get('ledgers', report.ledger));
    expect(files).toEqual(expect.arrayContaining(['certificates.safetensors', 'smallest-epsilons.safetensors']));

    const { report: part } = await evaluate({ plan: asked, shard: { index: 0, count: 1 } });
    expect([part.smallestEpsilons, part.certifiedAccuracy]).toEqual([[], undefined]);
    const { report: merged } = await evaluate({ plan: asked, ledgerDigests: [part.ledger] });
    expect(merged.ledger).toBe(report.ledger);

    const failure = await failureOf(evaluate({ plan: { ...asked, certification: { ...certification, sigma: -1 } } }));
    expect(failure.message).toBe('plan.certification.sigma: -1 is not a positive number');
  });

  test('leaves a ledger of every attempt, the same bytes for the same seed', async () => {
    const [first, second] = [await evaluate(), await evaluate()];
    expect(second.report.ledger).toBe(first.report.ledger);
    const { cells, units } = decodeLedger(await artefacts.get('ledgers', first.report.ledger));
    const cell = cells.findIndex(({ attack, epsilon }) => attack === 'pgd' && epsilon === 0.05);
    expect(units.filter((unit) => unit.cell === cell).flatMap(({ rows }) => rows)).toHaveLength(24);
    expect((await evaluate({ plan: { ...plan, seed: 6 } })).report.ledger).not.toBe(first.report.ledger);
  });

  test('by shards, whose ledgers together make the same report', async () => {
    const several = await labelledByModel(glyphs({ variant: 'gray28', train: 40, test: 150, seed: 2 }));
    const { digest } = await artefacts.put('datasets', encodeDataset(several));
    const all = { datasetDigest: digest, plan: { ...plan, samples: 150 } };
    const whole = await evaluate(all);
    expect(whole.report.cleanAccuracy?.trials).toBe(150);
    const parts = [0, 1].map((index) => evaluate({ ...all, shard: { index, count: 2 } }));
    const ledgerDigests = (await Promise.all(parts)).map(({ report }) => report.ledger);
    const { report } = await evaluate({ ...all, ledgerDigests });
    expect(report.ledger).toBe(whole.report.ledger);
    expect(report.epsilons).toEqual(whole.report.epsilons);

    const points: ResumePoint[] = [];
    const shard = { index: 1, count: 2 };
    for await (const { message } of serverStream(attacker, 'evaluate', request({ ...all, shard })))
      if (message?.$case === 'resumePoint') points.push(message.value);
    expect(points.length).toBeGreaterThan(0);
    const resumed = await evaluate({ ...all, shard, resume: points[0] });
    expect(resumed.report.ledger).toBe(ledgerDigests[1]);

    for (const shard of [
      { index: 2, count: 2 },
      { index: 0, count: 65 },
    ])
      await expect(evaluate({ shard })).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT' });
  });

  test('keeps the adversarial images that were asked for, and what still fools the model in 8 bits', async () => {
    const { report } = await evaluate({ plan: { ...plan, keepAdversarial: 5 } });
    const { 'adversarial.safetensors': file = new Uint8Array() } = await artefacts.get('ledgers', report.ledger);
    const { input, all } = decodeAdversarial(file);
    expect(all.every(({ attack, settings }) => attack === 'noise' || settings.steps === '3')).toBe(true);
    expect([input, all.length]).toEqual([[28, 28, 1], 5]);
    const distances = all.map(({ distance }) => distance);
    expect(distances).toEqual([...distances].sort((a, b) => a - b));
    for (const { predicted, label, sample, original } of all) {
      expect(predicted).not.toBe(label);
      expect([...original]).toEqual([...dataset.test.images.slice(sample * 784, (sample + 1) * 784)]);
    }
    const without = await artefacts.get('ledgers', (await evaluate()).report.ledger);
    expect(Object.keys(without)).not.toContain('adversarial.safetensors');
  });

  test("of the held-out part takes the samples that the model's training held out", async () => {
    const { report } = await evaluate({ plan: { ...plan, part: 'held-out', samples: 5 } });
    expect(report.cleanAccuracy).toMatchObject({ successes: 5, trials: 5 });
    const first = holdOut(dataset.train, heldOutFraction, modelSeed).held[0] ?? -1;
    expect(report.examples[0]?.label).toBe(dataset.train.labels[first]);
  });
});

describe('a transfer matrix', () => {
  const asked = ComputeTransferMatrixRequest.fromPartial({
    plan: { attacks: [{ attack: 'mi-fgsm', epsilons: [0.1, 0.2], settings: { steps: '2' } }], samples: 12, seed: 4 },
    dataset: 'datasets/glyphs',
  });
  async function matrixOf(change: Partial<ComputeTransferMatrixRequest> = {}) {
    const digests = { modelDigests: [model.digest, surrogate.digest], datasetDigest: datasetInfo.digest };
    const messages = [];
    for await (const { message } of serverStream(attacker, 'computeTransferMatrix', {
      ...asked,
      ...digests,
      ...change,
    }))
      messages.push(message);
    return messages;
  }

  test('ends with the figures of every model on every model, and a ledger of what each said', async () => {
    const last = (await matrixOf()).at(-1);
    if (last?.$case !== 'matrix') throw new Error('no matrix');
    const { models, cleanErrors, samples, tables, ledger } = last.value;
    expect([models, samples]).toEqual([[model, surrogate].map(({ digest }) => `models/${digest}`), 12]);
    expect(cleanErrors[0]).toMatchObject({ successes: 0, trials: 12 });
    expect(tables.map(({ attack, norm, epsilon, cells }) => [attack, norm, epsilon, cells.length])).toEqual([
      ['mi-fgsm', 'linf', 0.1, 4],
      ['mi-fgsm', 'linf', 0.2, 4],
    ]);
    expect(tables.map(({ settings }) => settings)).toEqual([{ steps: '2' }, { steps: '2' }]);
    const [diagonal] = tables[1]?.cells ?? [];
    expect(diagonal?.own?.value).toBeGreaterThan(0.5);
    expect(Object.keys(await artefacts.get('ledgers', ledger))).toEqual(['predictions.safetensors']);
  });

  test('is refused by name', async () => {
    const one = await failureOf(matrixOf({ modelDigests: [model.digest] }));
    expect(one.violations[0]).toEqual({ field: 'models', description: 'models: 1 given, 2 to 16 allowed' });
    const heldOut = { ...EvaluationPlan.fromPartial(asked.plan ?? {}), part: 'held-out' };
    expect((await failureOf(matrixOf({ plan: heldOut }))).violations[0]?.field).toBe('plan.part');
  });
});

describe('a bad request', () => {
  const attacks = (change: Partial<AttackPlan>): EvaluationPlan => ({
    ...EvaluationPlan.fromPartial({}),
    attacks: [{ ...AttackPlan.fromPartial({ attack: 'pgd', epsilons: [0.1] }), ...change }],
  });
  const cases: [string, Partial<EvaluateRequest>, string][] = [
    ['no plan', { plan: undefined }, 'plan'],
    ['an empty plan', { plan: EvaluationPlan.fromPartial({}) }, 'plan.attacks'],
    ['an unknown attack', { plan: attacks({ attack: 'shouting' }) }, 'plan.attacks[0].attack'],
    ['an epsilon out of range', { plan: attacks({ epsilons: [0.1, 7] }) }, 'plan.attacks[0].epsilons[1]'],
    ['an unknown norm', { plan: attacks({ norm: 'l7' }) }, 'plan.attacks[0].norm'],
    ['a setting out of range', { plan: attacks({ settings: { steps: '-1' } }) }, 'plan.attacks[0].settings.steps'],
    ['too many surrogates', { surrogateDigests: new Array(9).fill('0') }, 'surrogateDigests'],
    ['a transfer attack without surrogates', { surrogateDigests: [] }, 'plan.attacks[2].source'],
  ];

  test.each(cases)('%s is refused by name', async (_name, change, field) => {
    const error = await failureOf(evaluate(change));
    expect([error.code, error.violations[0]?.field]).toEqual([status.INVALID_ARGUMENT, field]);
  });

  test('an unknown model is NOT_FOUND', async () => {
    expect(await failureOf(evaluate({ modelDigest: '0'.repeat(64) }))).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  });

  test('the held-out part of another dataset is refused', async () => {
    const other = await artefacts.put('datasets', encodeDataset({ ...dataset, name: 'other' }));
    const error = await failureOf(evaluate({ datasetDigest: other.digest, plan: { ...plan, part: 'held-out' } }));
    expect(error).toMatchObject({ reason: 'INVALID_PART', violations: [{ field: 'plan.part' }] });
  });
});

test('a caller who goes away stops the attack, and the attacker is free again', async () => {
  const settings = { steps: '1000' };
  const endless = { ...plan, attacks: plan.attacks.slice(1).map((each) => ({ ...each, settings })) };
  const controller = new AbortController();
  const work = serverStream(attacker, 'evaluate', request({ plan: endless }), { signal: controller.signal }).next();
  await expect.poll(() => load.count).toBe(1);
  controller.abort();
  expect(await failureOf(work)).toMatchObject({ code: status.CANCELLED });
  await expect.poll(() => load.count).toBe(0);
  expect((await evaluate()).report.cleanAccuracy?.trials).toBe(24);
});

describe('following a run', () => {
  /** A trainer that has these checkpoints and takes reports. */
  async function trainer(checkpoints: ArtefactInfo[]) {
    const reports: ReportRobustnessRequest[] = [];
    let wake = () => {};
    const fake: Pick<TrainerServiceServer, 'streamCheckpoints' | 'reportRobustness'> = {
      streamCheckpoints: (call) => {
        void pump(call, async function* (signal) {
          for (const [i, { digest, files }] of checkpoints.entries()) {
            const header = {
              sequence: i + 1,
              model: `models/${digest}`,
              step: i,
              epoch: i,
              files: [...files],
              skipped: [],
            };
            yield { part: { $case: 'header' as const, value: header } };
            for (const { path } of files)
              for await (const data of artefacts.read('models', digest, path, 0, 10_000_000))
                yield { part: { $case: 'chunk' as const, value: { path, offset: 0, data } } };
            yield { part: { $case: 'endOfCheckpoint' as const, value: i + 1 } };
            if (reports.length <= i && !signal.aborted)
              await new Promise<void>((resolve) => {
                wake = resolve;
                signal.addEventListener('abort', () => resolve(), { once: true });
              });
          }
        });
      },
      reportRobustness: ({ request }, callback) => {
        reports.push(request);
        callback(null, {});
        wake();
      },
    };
    const server = new Server();
    server.addService(TrainerServiceService, fake as TrainerServiceServer);
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    return { reports, address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
  }

  const follow = (trainerAddress: string, change: Partial<FollowRunRequest> = {}) =>
    serverStream(
      attacker,
      'followRun',
      FollowRunRequest.fromPartial({
        run: 'trainingRuns/a',
        trainerAddress,
        datasetDigest: datasetInfo.digest,
        surrogateDigests: [surrogate.digest],
        plan: { ...plan, part: '' },
        dataset: 'datasets/glyphs',
        ...change,
      }),
    );

  test('each checkpoint is attacked on held-out samples and reported', async () => {
    const other = await artefacts.put('models', checkpointOf(7, 20));
    const { reports, address, stop } = await trainer([model, other]);
    const sequences: number[] = [];
    for await (const { checkpointSequence } of follow(address)) sequences.push(checkpointSequence);
    stop();
    expect(sequences).toEqual([1, 2]);
    expect(
      reports.map(({ run, checkpointSequence, report }) => [
        run,
        checkpointSequence,
        report?.model,
        report?.step,
        report?.part,
      ]),
    ).toEqual([
      ['trainingRuns/a', 1, `models/${model.digest}`, 10, 'held-out'],
      ['trainingRuns/a', 2, `models/${other.digest}`, 20, 'held-out'],
    ]);
  });

  test('examples of training images go with each report: other ones each time, within the ball, none that is held out', async () => {
    const { reports, address, stop } = await trainer([model, model]);
    for await (const _ of follow(address, { trainingExamples: 20 }));
    stop();
    const { train } = holdOut(dataset.train, heldOutFraction, modelSeed);
    const sets = await Promise.all(
      reports.map(async ({ report }) =>
        decodeExamples(await artefacts.get('examples', report?.trainingExamples ?? '')),
      ),
    );
    // Fewer than 40 images are trained on: the second turn comes to their end and begins again.
    const turns = [...train, ...train];
    expect(sets.map(({ indices }) => indices)).toEqual([turns.slice(0, 20), turns.slice(20, 40)]);
    for (const { indices, images } of sets)
      indices.forEach((index, place) => {
        const original = dataset.train.images.subarray(index * 784, (index + 1) * 784);
        const distance = original.reduce<number>(
          (most, level, i) => Math.max(most, Math.abs(level - (images[place * 784 + i] ?? 0))),
          0,
        );
        expect(distance).toBeGreaterThan(0);
        expect(distance).toBeLessThanOrEqual(0.2 * 255);
      });
  });

  test('examples without an attack that could make them are refused', async () => {
    const { address, stop } = await trainer([model]);
    const noTransfer = { ...plan, part: '', attacks: plan.attacks.slice(0, 2) };
    const refused = async (change: Partial<FollowRunRequest>) => {
      for await (const _ of follow(address, change));
    };
    await expect(refused({ trainingExamples: 5, plan: noTransfer })).rejects.toThrow('needs a transfer attack');
    await expect(refused({ trainingExamples: 5000 })).rejects.toThrow('5000 given, at most 4096 allowed');
    stop();
  });

  test('a caller who goes away ends it', async () => {
    const { address, stop } = await trainer([model, model]);
    for await (const _ of follow(address)) break;
    await expect.poll(() => load.count).toBe(0);
    stop();
  });
});
