import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CreateEvaluationRequest,
  type CreateTrainingRunRequest,
  Dataset,
  Evaluation,
  type ExplainRequest,
  ExplainResponse,
  type GetEvaluationRequest,
  type GetTrainingRunRequest,
  RobustnessReport,
  RunEvent,
  RunState,
  TrainingRun,
  type WatchTrainingRunRequest,
} from '@jsigr/proto';
import { afterEach, expect, it } from 'vitest';
import { tensorOf } from '../tensor.ts';
import { jsigr } from '../testing/command.ts';
import { answers, embedding, startFakeGateway, streams } from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';
import { madeUpReport } from '../testing/report-data.ts';
import { safetensorsOf } from '../testing/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'jsigr-demo-'));
afterEach(() => rmSync(folder, { recursive: true }));

const PIXELS = 28 * 28;
const COUNT = 20;
const succeeded: RunEvent = {
  sequence: 9,
  time: undefined,
  payload: { $case: 'stateChanged', value: { state: RunState.RUN_STATE_SUCCEEDED, reason: '' } },
};

/** The figures of the made-up report, as a gateway would send them for an objective. */
function reportOf(objective: string): RobustnessReport {
  const at = ['standard', 'pgd-at', 'jsigr'].indexOf(objective);
  const report = madeUpReport().models[at]?.report;
  const image = tensorOf([28, 28, 1], new Float32Array(PIXELS).fill(0.5));
  const example = {
    attack: 'mi-fgsm',
    norm: 'linf',
    epsilon: 0.1,
    index: 4,
    label: 4,
    predictedBefore: 4,
    predictedAfter: 2,
    image,
  };
  return RobustnessReport.fromPartial({ ...report, examples: [example] });
}

it('the demonstration trains, attacks and explains three models, and writes the report', async () => {
  const objectives: string[] = [];
  const epoch = (number: number, seconds: number): RunEvent => ({
    sequence: number,
    time: undefined,
    payload: { $case: 'epochCompleted', value: { epoch: number, metrics: [], seconds } },
  });
  const runOf = (name: string, spec?: TrainingRun['spec']) =>
    TrainingRun.fromPartial({ name, spec, bestModel: `models/${objectives.length}${'ab'.repeat(31)}` });
  const evaluated: string[] = [];
  let explanations = 0;
  const images = Array.from({ length: COUNT * PIXELS }, (_, at) => at % 256);
  const file = safetensorsOf({
    'test.images': images,
    'test.labels': Array.from({ length: COUNT }, (_, at) => at % 10),
    'test.masks': images.map((_, at) => (at % 4 === 0 ? 1 : 0)),
  });
  const gateway = await startFakeGateway({
    training: {
      createTrainingRun: answers(({ spec }: CreateTrainingRunRequest) => {
        objectives.push(spec?.objective ?? '');
        return { trainingRun: runOf(`trainingRuns/${spec?.objective}`, spec) };
      }),
      getTrainingRun: answers(({ name }: GetTrainingRunRequest) => ({ trainingRun: runOf(name) })),
      watchTrainingRun: streams(({ name }: WatchTrainingRunRequest) => [
        { event: epoch(1, 2.5) },
        {
          event: {
            sequence: 2,
            time: undefined,
            payload: { $case: 'robustnessReported' as const, value: { ...reportOf(name.slice(13)), epoch: 1 } },
          },
        },
        { event: succeeded },
      ]),
    },
    evaluations: {
      createEvaluation: answers(({ spec }: CreateEvaluationRequest) => {
        evaluated.push(spec?.model ?? '');
        return { evaluation: Evaluation.fromPartial({ name: `evaluations/${evaluated.length}` }) };
      }),
      watchEvaluation: streams(() => [{ event: succeeded }]),
      getEvaluation: answers(({ name }: GetEvaluationRequest) => ({
        evaluation: Evaluation.fromPartial({ name, report: reportOf(objectives[Number(name.slice(12)) - 1] ?? '') }),
      })),
    },
    datasets: {
      getDataset: answers(() => ({
        dataset: Dataset.fromPartial({
          name: 'datasets/glyphs',
          digest: 'cd'.repeat(32),
          input: [28, 28, 1],
          classNames: [...'abcdefghij'],
        }),
      })),
      readDatasetFile: streams(function* () {
        for (let offset = 0; offset < file.length; offset += 10_000)
          yield { offset, data: file.subarray(offset, offset + 10_000) };
      }),
    },
    explanations: {
      explain: answers((_: ExplainRequest) => {
        explanations++;
        return ExplainResponse.fromPartial({
          predicted: 4,
          target: 4,
          attribution: tensorOf([28, 28], new Float32Array(PIXELS).fill(-1)),
        });
      }),
    },
  });
  const gateways = embedding(gateway);
  const terminal = fakeTerminal({ directory: folder });
  const { code, out, err } = await jsigr(['demo', '--quick', '--seed', '7'], { gateways, terminal });
  gateway.close();

  expect({ code, err, closed: gateways.state.closed }).toEqual({ code: 0, err: '', closed: 1 });
  expect(objectives).toEqual(['standard', 'pgd-at', 'jsigr']);
  expect(evaluated).toEqual(['1', '2', '3'].map((at) => `models/${at}${'ab'.repeat(31)}`));
  // 8 samples a model for the relevance; one example with 2 rows, and the same image by 4 methods, for 3 models.
  expect(explanations).toBe(3 * 8 + 3 * 2 + 3 * 4);

  const report = join(folder, '.jsigr/report.html');
  expect(out.indexOf('HTTP     http://127.0.0.1:1/v1/trainingRuns')).toBe(0);
  expect(out).toMatch(
    /^standard +98\.2 % \[97\.0, 99\.4\] +20\.4 % \[.*\] +61\.2 % \[.*\] +2\.5 +25\.0 % +not assessed$/m,
  );
  expect(out).toContain(`report: ${report}`);
  expect(out.trimEnd().split('\n').slice(-3)).toEqual([
    '  npx jsigr evaluate trainingRuns/jsigr --attack pgd:0.1:steps=100,restarts=5',
    '  npx jsigr explain trainingRuns/jsigr --sample glyphs:3 --method integrated-gradients --out overlay.png',
    '  npx jsigr up',
  ]);
  const page = readFileSync(report, 'utf8');
  expect(page).toContain('jsigr demo --seed 7 --quick');
  expect(page).toContain('Test sample 4: e');
  expect(page).toContain('25.0 %');
});
