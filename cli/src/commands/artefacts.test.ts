import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AttackAccess,
  CreateEvaluationRequest,
  Dataset,
  Evaluation,
  type ExplainRequest,
  ExplainResponse,
  type GetModelRequest,
  type ImportDatasetRequest,
  MaskingVerdict,
  Model,
  type ReadEvaluationFileRequest,
  type ReadModelFileRequest,
  RunState,
} from '@jsigr/proto';
import { invalidArgument, notFound } from '@jsigr/service/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tensorOf } from '../tensor.ts';
import { adversarialFile } from '../testing/adversarial.ts';
import { jsigr, type Outcome } from '../testing/command.ts';
import { answers, type FakeGateway, type FakeServices, startFakeGateway, streams } from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';
import { madeUpReport, shareOf } from '../testing/report-data.ts';

const DIGEST = 'ab'.repeat(32);
const WEIGHTS = Buffer.from('weights, byte for byte');
const sha256 = createHash('sha256').update(WEIGHTS).digest('hex');

const model = Model.fromPartial({
  name: `models/${DIGEST}`,
  architecture: 'lenet',
  dataset: 'datasets/cifar',
  input: [32, 32, 3],
  files: [{ path: 'weights.safetensors', sizeBytes: WEIGHTS.length, sha256 }],
});

let folder = '';
let gateway: FakeGateway | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jsigr-cli-'));
});
afterEach(() => {
  gateway?.close();
  rmSync(folder, { recursive: true });
});

async function run(line: string, services: FakeServices): Promise<Outcome> {
  gateway = await startFakeGateway(services);
  return jsigr(line.split(' '), { gateway, terminal: fakeTerminal({ directory: folder }) });
}

const models = {
  getModel: answers(({ name }: GetModelRequest) => {
    if (!`models/${DIGEST}`.startsWith(name)) throw notFound('model', name, '`jsigr models list` shows all');
    return { model };
  }),
  readModelFile: streams(function* ({ readOffset }: ReadModelFileRequest) {
    for (let offset = readOffset; offset < WEIGHTS.length; offset += 5)
      yield { offset, data: WEIGHTS.subarray(offset, offset + 5) };
  }),
};

describe('models export', () => {
  it('writes the checkpoint byte for byte', async () => {
    const { code, out } = await run('models export abababab --out checkpoint', { models });
    expect(code).toBe(0);
    expect(readFileSync(join(folder, 'checkpoint/weights.safetensors'))).toEqual(WEIGHTS);
    expect(out).toContain(join(folder, 'checkpoint/weights.safetensors'));
  });

  it.each([
    [invalidArgument('name', 'is not of the form models/{digest}'), 2, 'or trainingRuns/ID'],
    [notFound('model', 'models/abababab', 'ListModels shows what there is'), 3, '`jsigr models list`'],
  ])('says what a model may be called, or what shows them: %s', async (error, code, hint) => {
    const getModel = answers(() => {
      throw error;
    });
    const ended = await run('models export abababab --out checkpoint', { models: { ...models, getModel } });
    expect(ended.code).toBe(code);
    expect(ended.err).toContain(error.message);
    expect(ended.err).toContain(hint);
    expect(ended.err).not.toContain('ListModels');
  });

  it('leaves nothing behind when the bytes are not those that were announced', async () => {
    const damaged = { ...models, readModelFile: streams(() => [{ offset: 0, data: Buffer.from('damaged') }]) };
    const { code, err } = await run('models export abababab --out checkpoint', { models: damaged });
    expect(code).toBe(1);
    expect(err).toContain(`weights.safetensors arrived with 7 bytes`);
    expect(readdirSync(join(folder, 'checkpoint'))).toEqual([]);
  });

  it.each(['../outside', '/etc/outside', 'a/../../outside', ''])(
    'writes no file "%s" outside of its folder',
    async (path) => {
      const hostile = {
        ...models,
        getModel: answers(() => ({ model: { ...model, files: [{ path, sizeBytes: 1, sha256 }] } })),
      };
      const { code, err } = await run('models export abababab --out checkpoint', { models: hostile });
      expect(code).toBe(2);
      expect(err).toContain('does not lie in the folder of the model');
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('writes one ONNX file', async () => {
    const exporting = {
      ...models,
      exportModel: streams(() => [{ data: Buffer.from('on') }, { data: Buffer.from('nx') }]),
    };
    const { code, out } = await run('models export abababab --format onnx --out model.onnx', { models: exporting });
    expect(code).toBe(0);
    expect(readFileSync(join(folder, 'model.onnx'), 'utf8')).toBe('onnx');
    expect(out).toBe(`${join(folder, 'model.onnx')}  4 B\n`);
  });

  it('says which file cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    const { code, err } = await run('models export abababab --out file', { models });
    expect(code).toBe(4);
    expect(err).toContain(join(folder, 'file'));
  });

  it('of a model that nobody knows is 3, with a hint', async () => {
    const { code, err } = await run('models show ffff', { models });
    expect({ code, err }).toEqual({
      code: 3,
      err: 'jsigr: there is no model "models/ffff"\nhint: `jsigr models list` shows all\n',
    });
  });
});

describe('evaluate', () => {
  const report = madeUpReport().models[0]?.report;
  const evaluation = Evaluation.fromPartial({ name: 'evaluations/e1', state: RunState.RUN_STATE_SUCCEEDED, report });
  const done = {
    event: {
      sequence: 1,
      time: undefined,
      payload: { $case: 'stateChanged' as const, value: { state: RunState.RUN_STATE_SUCCEEDED, reason: '' } },
    },
  };

  it('attacks by the usual plan of colour images, and prints intervals and the masking verdict', async () => {
    let created: CreateEvaluationRequest | undefined;
    const { code, out } = await run('evaluate abababab --samples 500 --seed 3', {
      models,
      datasets: { getDataset: answers(() => ({ dataset: Dataset.fromPartial({ input: [32, 32, 3] }) })) },
      evaluations: {
        createEvaluation: answers((request: CreateEvaluationRequest) => {
          created = request;
          return { evaluation };
        }),
        getEvaluation: answers(() => ({ evaluation })),
        watchEvaluation: streams(() => [done]),
      },
    });
    expect(code).toBe(0);
    expect(created?.spec).toMatchObject({ model: `models/${DIGEST}`, plan: { samples: 500, part: 'test', seed: 3 } });
    expect(created?.spec?.plan?.attacks.map(({ attack }) => attack)).toEqual(['noise', 'fgsm', 'pgd', 'mi-fgsm']);
    expect(created?.spec?.plan?.attacks[0]?.epsilons).toEqual([2 / 255, 4 / 255, 8 / 255]);
    expect(out).toMatch(/pgd linf +white-box +0\.1 +20\.4 % \[16\.9, 23\.9\]/);
    expect(out).toMatch(/^masking +not assessed$/m);
    expect(out).toMatch(/^clean accuracy +98\.2 % \[97\.0, 99\.4\]$/m);
  });

  it('asks for a profile by its name, at fractions of 255, and for a look at masking', async () => {
    let created: CreateEvaluationRequest | undefined;
    const flagged = Evaluation.fromPartial({
      ...evaluation,
      report: {
        ...report,
        flags: ['the model gives probabilities'],
        masking: MaskingVerdict.MASKING_VERDICT_SUSPECTED,
        maskingSignals: [
          {
            name: 'one-step-beats-many',
            verdict: MaskingVerdict.MASKING_VERDICT_SUSPECTED,
            evidence: 'one step turns 5.0 % more',
          },
          { name: 'restarts-matter', verdict: MaskingVerdict.MASKING_VERDICT_NO_SIGN, evidence: 'nothing' },
        ],
      },
    });
    const { out } = await run('evaluate abababab --profile autoattack@l2 --epsilon 128/255 --assess-masking', {
      models,
      datasets: { getDataset: answers(() => ({ dataset: Dataset.fromPartial({ input: [32, 32, 3] }) })) },
      evaluations: {
        createEvaluation: answers((request: CreateEvaluationRequest) => {
          created = request;
          return { evaluation: flagged };
        }),
        getEvaluation: answers(() => ({ evaluation: flagged })),
        watchEvaluation: streams(() => [done]),
      },
    });
    const plan = { profile: 'autoattack@l2', epsilons: [128 / 255], attacks: [], assessMasking: true };
    expect(created?.spec?.plan).toMatchObject(plan);
    expect(out).toMatch(/^masking +suspected$/m);
    expect(out).toMatch(/^one-step-beats-many +one step turns 5\.0 % more$/m);
    expect(out).not.toMatch(/restarts-matter/);
    expect(out).toMatch(/^note +the model gives probabilities$/m);
  });

  it('tells attacks apart that differ by their settings', async () => {
    const [pgd] = report?.attacks ?? [];
    const attacks = ['ni+si', 'mi+bsr'].map((recipe) => ({ ...pgd, attack: 'transfer', settings: { recipe } }));
    const shown = Evaluation.fromPartial({ ...evaluation, report: { ...report, attacks } });
    const evaluations = { getEvaluation: answers(() => ({ evaluation: shown })) };
    const { out } = await run('runs show evaluations/e1', { evaluations });
    expect(out).toMatch(/^transfer linf ni\+si +white-box/m);
    expect(out).toMatch(/^transfer linf mi\+bsr +white-box/m);
    gateway?.close();
    const json = JSON.parse((await run('runs show evaluations/e1 -o json', { evaluations })).out);
    expect(json.evaluation.report.attacks[1].settings).toEqual({ recipe: 'mi+bsr' });
  });

  it('says how little it takes and what is certain, where that was asked for', async () => {
    let created: CreateEvaluationRequest | undefined;
    const half = shareOf(0.5, 200);
    const shown = Evaluation.fromPartial({
      ...evaluation,
      report: {
        ...report,
        smallestEpsilons: [
          {
            ...{ attack: 'pgd', norm: 'linf', settings: { steps: '40' }, largestEpsilon: 0.1 },
            ...{ access: AttackAccess.ATTACK_ACCESS_WHITE_BOX, turned: half },
            quantiles: [
              { share: 0.25, epsilon: 0.03125, lower: 0.02, upper: 0.04 },
              { share: 0.5, epsilon: 0.0998, lower: 0.08 },
              { share: 0.75 },
            ],
          },
        ],
        certifiedAccuracy: {
          ...{ sigma: 0.25, draws: 1000, alpha: 0.001, samples: 200, abstained: 7 },
          shares: [{ radius: 0.125, accuracy: half }],
        },
      },
    });
    const { out } = await run('evaluate abababab --smallest-epsilons 200 --certify 0.25:draws=1000,samples=200', {
      models,
      datasets: { getDataset: answers(() => ({ dataset: Dataset.fromPartial({ input: [32, 32, 3] }) })) },
      evaluations: {
        createEvaluation: answers((request: CreateEvaluationRequest) => {
          created = request;
          return { evaluation: shown };
        }),
        getEvaluation: answers(() => ({ evaluation: shown })),
        watchEvaluation: streams(() => [done]),
      },
    });
    const certification = { sigma: 0.25, draws: 1000, samples: 200, alpha: 0 };
    expect(created?.spec?.plan).toMatchObject({ smallestEpsilons: 200, certification });
    expect(out).toMatch(
      /^pgd linf steps=40 +white-box +50\.0 % \[.*\] +0\.1 +0\.03125 \[0\.02, 0\.04\] +0\.0998 \[0\.08, > 0\.1\] +> 0\.1$/m,
    );
    expect(out).toMatch(/^0\.125 +50\.0 % /m);
    expect(out).toMatch(/noise of 0\.25: 200 samples, 7 without an answer, 1,000 draws each/);
  });

  it('says which attacks a limit ended, and nothing where it ended none', async () => {
    const attacks = [{ attack: 'pgd' }, { attack: 'square', unattempted: 40, cutShort: 12 }];
    const show = async (shown: Evaluation) => {
      const { out } = await run('runs show evaluations/e1', {
        evaluations: { getEvaluation: answers(() => ({ evaluation: shown })) },
      });
      gateway?.close();
      return out;
    };
    const out = await show(Evaluation.fromPartial({ ...evaluation, report: { ...report, attacks } }));
    expect(out).toMatch(/^ATTACK .* NOT DONE +FORWARDS/m);
    expect(out).toMatch(/^square .* 40 not met, 12 cut short /m);
    expect(await show(evaluation)).not.toContain('NOT DONE');
  });

  it('asks for what needs no gradients of a model that can only be asked, and for a budget', async () => {
    let created: CreateEvaluationRequest | undefined;
    const ledger = 'cd'.repeat(32);
    const limits = '--max-forwards 9000 --max-backwards 80 --max-seconds 0.5';
    await run(`evaluate abababab --max-queries 500 ${limits} --resume ${ledger}`, {
      models: { getModel: answers(() => ({ model: { ...model, blackBox: 'it is a live endpoint' } })) },
      datasets: { getDataset: answers(() => ({ dataset: Dataset.fromPartial({ input: [32, 32, 3] }) })) },
      evaluations: {
        createEvaluation: answers((request: CreateEvaluationRequest) => {
          created = request;
          return { evaluation };
        }),
        getEvaluation: answers(() => ({ evaluation })),
        watchEvaluation: streams(() => [done]),
      },
    });
    const plan = {
      ...{ profile: 'black-box', attacks: [], maxQueries: 500, resumeLedger: ledger },
      ...{ maxForwards: 9000, maxBackwards: 80, maxSeconds: 0.5 },
    };
    expect(created?.spec?.plan).toMatchObject(plan);
  });

  it('with --report and --export keeps the images, and writes the page, the pictures and what still fools the model', async () => {
    let created: CreateEvaluationRequest | undefined;
    const file = adversarialFile();
    const { code, out } = await run('evaluate abababab --report r/page.html --export images', {
      models,
      datasets: { getDataset: answers(() => ({ dataset: Dataset.fromPartial({ input: [2, 2, 1] }) })) },
      evaluations: {
        createEvaluation: answers((request: CreateEvaluationRequest) => {
          created = request;
          return { evaluation };
        }),
        getEvaluation: answers(() => ({ evaluation })),
        watchEvaluation: streams(() => [done]),
        readEvaluationFile: streams(({ path }: ReadEvaluationFileRequest) =>
          path === 'adversarial.safetensors' ? [{ offset: 0, data: Buffer.from(file) }] : [],
        ),
      },
    });
    expect(code).toBe(0);
    expect(created?.spec?.plan?.keepAdversarial).toBe(0xffff_ffff);
    expect(out).toContain(`${folder}/images: 4 fool the model, 3 of them still do in 8 bits`);
    expect(readFileSync(join(folder, 'r/page.html'), 'utf8')).toContain('The nearest misses');
    expect(new Uint8Array(readFileSync(join(folder, 'images/adversarial.safetensors')))).toEqual(file);
    const index = JSON.parse(readFileSync(join(folder, 'images/index.json'), 'utf8'));
    expect(index).toMatchObject({ images: 4, foolsInEightBits: 3 });
    expect(index.entries[1]).toMatchObject({
      path: 'pgd-linf-0.1/00004-is-1-seen-as-1.png',
      sample: 4,
      distance: 0.09375,
      foolsInEightBits: false,
    });
    for (const { path } of index.entries)
      expect(
        readFileSync(join(folder, 'images', path))
          .subarray(1, 4)
          .toString(),
      ).toBe('PNG');
  });
});

describe('attacks', () => {
  it('lists every attack with what it sees and what it costs', async () => {
    const { code, out } = await jsigr(['attacks', 'list']);
    expect(code).toBe(0);
    expect(out).toMatch(/^ATTACK +SEES +NORMS +TARGETED +LOOKS FOR +ATTEMPTS +FORWARDS +BACKWARDS$/m);
    expect(out).toMatch(/^apgd-t +white-box +linf l2 +yes +worst in ball +9 +102 +101$/m);
    expect(out).toMatch(/^square +score +linf l2 +no +worst in ball +1 +5001 +0$/m);
  });

  it('shows the settings of one, as text and as JSON', async () => {
    expect((await jsigr(['attacks', 'show', 'pgd'])).out).toMatch(
      /^steps +20 +Gradient steps of each restart, 1\.\.1000$/m,
    );
    const pgd = JSON.parse((await jsigr(['attacks', 'show', 'pgd', '-o', 'json'])).out);
    expect(pgd).toMatchObject({
      name: 'pgd',
      access: 'white-box',
      settings: [{ name: 'steps', preset: '20' }, {}, {}, {}, {}, {}, {}, {}],
    });
  });

  it('names the known ones where there is none of that name', async () => {
    const { code, err } = await jsigr(['attacks', 'show', 'shout']);
    expect(code).toBe(3);
    expect(err).toMatch(/no attack "shout"\nhint: known: noise, gaussian-noise, fgsm/);
  });
});

describe('explain', () => {
  const explanation = ExplainResponse.fromPartial({
    predicted: 1,
    target: 1,
    probabilities: [0.2, 0.7, 0.1],
    classNames: ['ring', 'cross', 'arrow'],
    attribution: tensorOf([2, 2], Float32Array.of(0.5, -1, 0, 2)),
    overlay: Buffer.from('a png'),
    checks: [{ name: 'completeness_gap', value: 0.001 }],
    milliseconds: 12.4,
  });
  let asked: ExplainRequest | undefined;
  const services: FakeServices = {
    models,
    explanations: {
      explain: answers((request: ExplainRequest) => {
        asked = request;
        return explanation;
      }),
    },
  };

  it('writes overlay and raw map, and says what is seen', async () => {
    const { code, out } = await run(
      'explain abababab --sample glyphs:3 --method smoothgrad --set samples=8 --out o.png --raw map.json',
      services,
    );
    expect(code).toBe(0);
    expect(asked).toMatchObject({
      method: 'smoothgrad',
      settings: { samples: '8' },
      overlay: true,
      overlayScale: 0,
      image: { source: { $case: 'sample', value: { dataset: 'datasets/glyphs', part: 'test', index: 3 } } },
    });
    expect(readFileSync(join(folder, 'o.png'), 'utf8')).toBe('a png');
    expect(JSON.parse(readFileSync(join(folder, 'map.json'), 'utf8'))).toEqual({
      shape: [2, 2],
      map: [
        [0.5, -1],
        [0, 2],
      ],
    });
    expect(out).toMatch(/^predicted +cross \(class 1\)$/m);
    expect(out).toContain('cross (class 1) 70.0 %, ring (class 0) 20.0 %');
    expect(out).toContain('completeness gap 0.001');
  });

  it('sends an image file as it is, and writes float32 numbers', async () => {
    writeFileSync(join(folder, 'photo.jpg'), 'a jpeg');
    const { code } = await run('explain abababab --image photo.jpg --target 2 --scale 3 --raw map.f32', services);
    expect(code).toBe(0);
    expect(asked).toMatchObject({ target: 2, overlayScale: 3 });
    expect(asked?.image?.source).toEqual({ $case: 'encoded', value: Buffer.from('a jpeg') });
    expect(readFileSync(join(folder, 'map.f32')).readFloatLE(12)).toBe(2);
  });

  it('of an image that is not there is 3, without asking any gateway', async () => {
    const { code, err } = await jsigr(['explain', 'm', '--image', 'none.png'], {
      terminal: fakeTerminal({ directory: folder }),
    });
    expect({ code, err }).toEqual({ code: 3, err: `jsigr: there is no file ${join(folder, 'none.png')}\n` });
  });

  it('of an image that is too large is 2', async () => {
    writeFileSync(join(folder, 'huge.png'), Buffer.alloc(8 * 1024 * 1024 + 1));
    const { code, err } = await jsigr(['explain', 'm', '--image', 'huge.png'], {
      terminal: fakeTerminal({ directory: folder }),
    });
    expect(code).toBe(2);
    expect(err).toContain('--image');
    expect(err).toContain('8388608 are allowed');
  });
});

describe('datasets', () => {
  const dataset = Dataset.fromPartial({
    name: 'datasets/mnist',
    digest: DIGEST,
    input: [28, 28, 1],
    classNames: ['0', '1'],
    parts: [
      { name: 'train', count: 60_000, mean: [0.1307], standardDeviation: [0.3081] },
      { name: 'test', count: 10_000, hasMasks: true },
    ],
  });

  it('import asks for the whole path of a local folder only where the gateway is local', async () => {
    let asked: ImportDatasetRequest | undefined;
    const { code, out } = await run('datasets import mnist raw --format mnist', {
      datasets: {
        importDataset: answers((request: ImportDatasetRequest) => {
          asked = request;
          return { dataset };
        }),
      },
    });
    expect(code).toBe(0);
    expect(asked).toEqual({ datasetId: 'mnist', format: 'mnist', directory: 'raw' });
    expect(out).toMatch(/^train +60,000 +no +0\.1307 +0\.3081$/m);
  });

  it('list is a table, or the response as JSON', async () => {
    const services = { datasets: { listDatasets: answers(() => ({ datasets: [dataset], nextPageToken: '' })) } };
    expect((await run('datasets list', services)).out).toMatch(
      /^datasets\/mnist +28 x 28 x 1 +2 +60,000 +10,000 +yes$/m,
    );
    gateway?.close();
    expect(JSON.parse((await run('datasets list -o json', services)).out)).toMatchObject({
      datasets: [{ name: 'datasets/mnist', input: [28, 28, 1] }],
    });
  });
});
