import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CreateEvaluationRequest,
  type CreateTrainingRunRequest,
  Evaluation,
  type RunEvent,
  RunState,
  TrainingRun,
} from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsigr } from '../testing/command.ts';
import { answers, type FakeGateway, startFakeGateway, streams } from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';

const FILE = `
training: { dataset: glyphs, architecture: mlp, epochs: 2 }
matrix: { objective: [standard, jsigr], seed: [1, 2] }
`;

let gateway: FakeGateway | undefined;
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jsigr-sweep-'));
});
afterEach(async () => {
  gateway?.close();
  await rm(directory, { recursive: true });
});

const events: readonly RunEvent['payload'][] = [
  { $case: 'epochCompleted', value: { epoch: 1, metrics: [], seconds: 3 } },
  { $case: 'checkpointSaved', value: { model: 'models/ab', step: 1, epoch: 1, heldOutAccuracy: 0.75 } },
  { $case: 'stateChanged', value: { state: RunState.RUN_STATE_SUCCEEDED, reason: 'trained' } },
];

/**
 * A gateway that ends every run at once; `refuse`, `state` and `evaluationState` are asked with the number of the run or evaluation, from 1. Runs up to
 * `earlier` were there before.
 */
async function world({
  refuse = () => false,
  state = () => RunState.RUN_STATE_SUCCEEDED,
  evaluationState = () => RunState.RUN_STATE_SUCCEEDED,
  earlier = 0,
}: {
  refuse?: (run: number) => boolean;
  state?: (run: number) => RunState;
  evaluationState?: (evaluation: number) => RunState;
  earlier?: number;
} = {}) {
  const created: CreateTrainingRunRequest[] = [];
  const evaluations: CreateEvaluationRequest[] = [];
  const cancelled: string[] = [];
  const runOf = (number: number, now: RunState) =>
    TrainingRun.fromPartial({
      name: `trainingRuns/r${number}`,
      spec: created[number - 1]?.spec,
      state: now,
      createTime: new Date(1000 * number),
      bestModel: `models/${String(number).repeat(64)}`,
    });
  const numberOf = (name: string) => Number(name.replace('trainingRuns/r', ''));
  const stream = streams(async function* ({ afterSequence }: { afterSequence: number }) {
    for (const [i, payload] of events.entries())
      if (i + 1 > afterSequence) yield { event: { sequence: i + 1, time: undefined, payload } };
  });
  gateway = await startFakeGateway({
    training: {
      createTrainingRun: answers((request: CreateTrainingRunRequest) => {
        const before = created.findIndex(({ requestId }) => requestId === request.requestId) + 1;
        if (before > 0) return { trainingRun: runOf(before, state(before)) };
        if (refuse(created.length + 1)) throw invalidArgument('spec.epochs', '0 given');
        created.push(request);
        return { trainingRun: runOf(created.length, RunState.RUN_STATE_QUEUED) };
      }),
      listTrainingRuns: answers(() => ({
        trainingRuns: earlier > 0 ? [runOf(earlier, RunState.RUN_STATE_QUEUED)] : [],
        nextPageToken: '',
      })),
      getTrainingRun: answers(({ name }: { name: string }) => ({
        trainingRun: runOf(numberOf(name), state(numberOf(name))),
      })),
      cancelTrainingRun: answers(({ name }: { name: string }) => {
        cancelled.push(name);
        return { trainingRun: runOf(numberOf(name), RunState.RUN_STATE_CANCELLED) };
      }),
      watchTrainingRun: stream,
    },
    evaluations: {
      createEvaluation: answers((request: CreateEvaluationRequest) => {
        const before = evaluations.findIndex(({ requestId }) => requestId === request.requestId) + 1;
        if (before > 0)
          return {
            evaluation: Evaluation.fromPartial({ name: `evaluations/e${before}`, state: evaluationState(before) }),
          };
        evaluations.push(request);
        return { evaluation: Evaluation.fromPartial({ name: `evaluations/e${evaluations.length}` }) };
      }),
      getEvaluation: answers(({ name }: { name: string }) => ({
        evaluation: Evaluation.fromPartial({
          name,
          report: { epsilons: [{ norm: 'linf', epsilon: 0.1, whiteBox: { successes: 1, trials: 2, value: 0.5 } }] },
        }),
      })),
      watchEvaluation: streams(async function* ({ name }: { name: string }) {
        const ended = evaluationState(Number(name.replace('evaluations/e', '')));
        const payload = { $case: 'stateChanged' as const, value: { state: ended, reason: 'because' } };
        yield { event: { sequence: 1, time: undefined, payload } };
      }),
    },
  });
  return { created, evaluations, cancelled };
}

async function sweep(file: string, ...options: string[]) {
  await writeFile(join(directory, 'sweep.yaml'), file);
  const terminal = fakeTerminal({ directory });
  return jsigr(['sweep', '-f', 'sweep.yaml', ...options], { ...(gateway ? { gateway } : {}), terminal });
}

describe('sweep', () => {
  it('trains every combination under request ids of its own, and compares them', async () => {
    const { created, evaluations } = await world();
    const { code, out } = await sweep(FILE);
    expect(code).toBe(0);
    expect(created.map(({ spec }) => `${spec?.objective} ${spec?.seed}`)).toEqual([
      'standard 1',
      'standard 2',
      'jsigr 1',
      'jsigr 2',
    ]);
    expect(new Set(created.map(({ requestId }) => requestId)).size).toBe(4);
    expect(evaluations).toEqual([]);
    expect(out).toContain('4/4 jsigr 2: succeeded');
    expect(out).toMatch(/^jsigr +2 +succeeded +75.0 % +3.0 +models\/444444444444$/m);
  });

  it('attacks every model where the file says so', async () => {
    const { evaluations } = await world();
    const { out } = await sweep(`${FILE}evaluation: { attacks: [fgsm:0.1], samples: 10 }`);
    expect(evaluations.map(({ spec }) => spec?.model.slice(0, 8))).toEqual([1, 2, 3, 4].map((n) => `models/${n}`));
    expect(evaluations[0]?.spec?.plan).toMatchObject({ part: 'held-out', samples: 10 });
    expect(out).toContain('WHITE-BOX AT linf 0.1');
  });

  it('averages over the seeds and draws what it found', async () => {
    await world();
    const { code, out } = await sweep(`${FILE}evaluation: { attacks: [fgsm:0.1], samples: 10 }`, '--plot', 'all.svg');
    expect(code).toBe(0);
    expect(out).toMatch(/^jsigr +2 +75.0 % ± 0.0 +3.0 ± 0.0/m);
    expect(await readFile(join(directory, 'all.svg'), 'utf8')).toMatch(/^<svg /);
    const nothing = await sweep(FILE, '--plot', 'none.svg');
    expect(nothing.code).toBe(2);
    expect(nothing.err).toContain('--plot: needs attacks');
  });

  it('only lists its runs with --dry-run', async () => {
    const { code, out } = await sweep(FILE, '--dry-run');
    expect({ code, out }).toEqual({
      code: 0,
      out: 'OBJECTIVE  SEED\nstandard   1\nstandard   2\njsigr      1\njsigr      2\n4 runs\n',
    });
  });

  it('lists them as JSON, with what each would train', async () => {
    const planned = JSON.parse((await sweep(FILE, '--dry-run', '-o', 'json')).out);
    expect(planned.axes).toEqual(['objective', 'seed']);
    expect(planned.runs).toHaveLength(4);
    expect(planned.runs[3]).toMatchObject({ values: ['jsigr', '2'], spec: { objective: 'jsigr', seed: 2 } });
  });

  it('leaves no run behind where one of them is refused', async () => {
    const { cancelled } = await world({ refuse: (run) => run === 3 });
    const { code, err } = await sweep(FILE);
    expect(code).toBe(2);
    expect(err).toContain('run 3 of 4 (jsigr 1)');
    expect(cancelled).toEqual(['trainingRuns/r1', 'trainingRuns/r2']);
  });

  it('leaves what was queued before where one of its runs is refused', async () => {
    const { cancelled } = await world({ refuse: (run) => run === 4, earlier: 2 });
    expect((await sweep(FILE)).code).toBe(2);
    expect(cancelled).toEqual(['trainingRuns/r3']);
  });

  it('goes on where an evaluation failed, ends with 1 after the table, and attacks that model anew the next time', async () => {
    const { FAILED, SUCCEEDED } = { FAILED: RunState.RUN_STATE_FAILED, SUCCEEDED: RunState.RUN_STATE_SUCCEEDED };
    const { evaluations } = await world({ evaluationState: (each) => (each === 2 ? FAILED : SUCCEEDED) });
    const file = `${FILE}evaluation: { attacks: [fgsm:0.1], samples: 10 }`;
    const first = await sweep(file);
    expect(first.code).toBe(1);
    expect(first.out).toContain('2/4 standard 2: succeeded; evaluations/e2 failed because');
    expect(first.out).toMatch(/^jsigr +2 +succeeded/m);
    expect(first.err).toContain('1 of 4 models could not be attacked');
    expect(evaluations).toHaveLength(4);
    await sweep(file);
    const [, failed, , , anew] = evaluations.map(({ requestId }) => requestId);
    expect(anew).toBe(`${failed}-2`);
  });

  it('ends with 1 where a run did not succeed, after the table', async () => {
    await world({ state: (run) => (run === 2 ? RunState.RUN_STATE_FAILED : RunState.RUN_STATE_SUCCEEDED) });
    const { code, out, err } = await sweep(FILE);
    expect(code).toBe(1);
    expect(out).toMatch(/^standard +2 +failed/m);
    expect(err).toContain('1 of 4 runs did not succeed');
  });

  it.each([
    { what: 'a file that is not there', options: ['-f', 'none.yaml'], code: 3, message: /there is no file/ },
    { what: 'no file', options: [], code: 2, message: /--file/ },
  ])('says what is wrong with $what', async ({ options, code, message }) => {
    const outcome = await jsigr(['sweep', ...options], { terminal: fakeTerminal({ directory }) });
    expect(outcome.code).toBe(code);
    expect(outcome.err).toMatch(message);
  });
});
