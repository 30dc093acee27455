import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AttackAccess,
  type CreateEvaluationRequest,
  Dataset,
  Evaluation,
  type GetModelRequest,
  ImportModelResponse,
  Model,
  RunState,
  TransferMatrix,
} from '@jsigr/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsigr } from '../testing/command.ts';
import { answers, type FakeGateway, startFakeGateway, streams } from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';
import { shareOf } from '../testing/report-data.ts';

const model = (digit: string, change: object = {}) =>
  Model.fromPartial({
    name: `models/${digit.repeat(64)}`,
    architecture: 'lenet',
    dataset: 'datasets/glyphs',
    ...change,
  });
const [standard, robust] = [model('a', { objective: 'standard' }), model('b', { objective: 'jsigr' })];
const imported = model('c', { architecture: 'onnx', displayName: 'resnet', dataset: '' });

const matrix = TransferMatrix.fromPartial({
  models: [standard.name, robust.name],
  dataset: 'datasets/glyphs',
  part: 'test',
  samples: 100,
  cleanErrors: [shareOf(0.02, 100), shareOf(0.05, 100)],
  commonSamples: 93,
  tables: [
    {
      attack: 'mi-fgsm',
      norm: 'linf',
      epsilon: 0.1,
      cells: [0, 1].flatMap((source) =>
        [0, 1].map((target) => ({
          source,
          target,
          common: shareOf(source === target ? 0.9 : 0.25),
          own: shareOf(0.5),
        })),
      ),
    },
    {
      attack: 'transfer',
      norm: 'linf',
      epsilon: 0.1,
      settings: { recipe: 'ni+si' },
      cells: [{ source: 0, target: 1, common: shareOf(0.5), own: shareOf(0.5) }],
    },
    {
      attack: 'noise',
      norm: 'linf',
      epsilon: 0.1,
      access: AttackAccess.ATTACK_ACCESS_CONTROL,
      cells: [0, 1].map((target) => ({ source: 0, target, common: shareOf(0.01), own: shareOf(0.02) })),
    },
  ],
  flags: ['<b>bold</b>'],
  command: 'jsigr transfer-matrix models/aa models/bb',
});
const evaluation = Evaluation.fromPartial({
  name: 'evaluations/m1',
  state: RunState.RUN_STATE_SUCCEEDED,
  transferMatrix: matrix,
});

let folder = '';
let gateway: FakeGateway;
let created: CreateEvaluationRequest | undefined;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'jsigr-matrix-'));
  gateway = await startFakeGateway({
    models: {
      getModel: answers(({ name }: GetModelRequest) => ({
        model: [standard, robust].find((one) => one.name.startsWith(name)),
      })),
      importModel: (call, callback) => {
        call.on('data', () => {});
        call.on('end', () => callback(null, ImportModelResponse.fromPartial({ model: imported })));
      },
    },
    datasets: {
      getDataset: answers(() => ({ dataset: Dataset.fromPartial({ name: 'datasets/glyphs', input: [28, 28, 1] }) })),
    },
    evaluations: {
      createEvaluation: answers((request: CreateEvaluationRequest) => {
        created = request;
        return { evaluation };
      }),
      getEvaluation: answers(() => ({ evaluation })),
      watchEvaluation: streams(() => [
        {
          event: {
            sequence: 1,
            time: undefined,
            payload: { $case: 'stateChanged' as const, value: { state: RunState.RUN_STATE_SUCCEEDED, reason: '' } },
          },
        },
      ]),
    },
  });
});
afterEach(() => {
  gateway.close();
  rmSync(folder, { recursive: true });
});
const run = (line: string) => jsigr(line.split(' '), { gateway, terminal: fakeTerminal({ directory: folder }) });

describe('transfer-matrix', () => {
  it('shows whom the examples of each model fool, with intervals and the clean error', async () => {
    const { code, out, err } = await run('transfer-matrix aaaaaaaa bbbbbbbb --samples 100');
    expect([code, err]).toEqual([0, '']);
    expect(created?.spec).toMatchObject({
      model: '',
      models: [standard.name, robust.name],
      plan: { attacks: [{ attack: 'noise' }, { attack: 'mi-fgsm', epsilons: [0.1] }], samples: 100, part: 'test' },
    });
    expect(out).toMatch(/^of all samples +2\.0 % \[0\.0, 4\.7\] +5\.0 %/m);
    expect(out).toContain('misclassified, of the 93 samples that all models classify correctly');
    expect(out).toMatch(/^MI-FGSM LINF 0\.1 +lenet standard aaaaaa +lenet jsigr bbbbbb$/m);
    expect(out).toMatch(/^TRANSFER LINF NI\+SI 0\.1 +lenet/m);
    expect(out).toMatch(/^lenet jsigr bbbbbb +25\.0 % \[21\.2, 28\.8\] +90\.0 % \[87\.4, 92\.6\]$/m);
    expect(out).toMatch(/^no model +1\.0 % .* 1\.0 %/m);
    expect(out).toMatch(/^masking +not assessed$/m);
  });

  it('imports ONNX files first', async () => {
    writeFileSync(join(folder, 'resnet.onnx'), 'bytes');
    await run('transfer-matrix aaaaaaaa resnet.onnx');
    expect(created?.spec?.models).toEqual([standard.name, imported.name]);
  });

  it('writes a page with heat maps that escapes what it is given', async () => {
    await run('transfer-matrix aaaaaaaa bbbbbbbb --report m.html');
    const page = readFileSync(join(folder, 'm.html'), 'utf8');
    expect(page.match(/<table class="heat">/g)).toHaveLength(6);
    expect(page).toContain('<h2>transfer linf ni+si, epsilon 0.1</h2>');
    expect(page).toContain('<td style="background: rgb(200 50 40 / 0.675)"><b>90.0 %</b>');
    expect(page).toContain('masking: not assessed');
    expect(page).toContain('&lt;b&gt;bold');
    expect(page).not.toMatch(/https?:|<script|undefined|NaN/);
  });

  it('is shown again by its name', async () => {
    const { out } = await run('runs show evaluations/m1');
    expect(out).toMatch(/^MI-FGSM LINF 0\.1 +models\/aaaaaaaaaaaa +models\/bbbbbbbbbbbb$/m);
  });
});
