import { encodeLedger, type Ledger } from '@jsigr/attacks';
import {
  AttackAccess,
  Evaluation,
  type GetEvaluationRequest,
  type ReadEvaluationFileRequest,
  RobustnessReport,
  RunState,
  TransferMatrix,
} from '@jsigr/proto';
import { notFound } from '@jsigr/service/client';
import { afterEach, describe, expect, it } from 'vitest';
import { jsigr, type Outcome } from '../testing/command.ts';
import { answers, startFakeGateway, streams } from '../testing/fake-gateway.ts';

/** Ten samples of class 1, all right without attack; PGD at 0.1 fools the first so many. */
function ledgerOf(fooled: number, epsilon = 0.1): Ledger {
  const cell = { attack: 'pgd', norm: 'linf' as const, epsilon };
  const spent = { seed: 0, attempt: 0, forwards: 1, backwards: 1, loss: 0, distance: 0, labelBefore: 1 };
  const samples = Array.from({ length: 10 }, (_, sample) => sample);
  const rows = samples.map((sample) => {
    const success = sample < fooled;
    return { ...spent, ...cell, sample, labelAfter: success ? 0 : 1, success };
  });
  return {
    ...{ fingerprint: 'made up', seed: 0, cells: [cell] },
    clean: samples.map((sample) => ({ sample, label: 1, prediction: 1 })),
    units: [{ cell: 0, block: 0, seconds: 0, rows }],
  };
}

const attack = { attack: 'pgd', norm: 'linf', epsilon: 0.1, access: AttackAccess.ATTACK_ACCESS_WHITE_BOX };
const report = RobustnessReport.fromPartial({
  dataset: 'datasets/glyphs',
  part: 'test',
  ledger: 'c0ffee',
  model: `models/${'a'.repeat(64)}`,
  attacks: [attack],
});
const succeeded = { state: RunState.RUN_STATE_SUCCEEDED, report };

interface Stored extends Partial<Evaluation> {
  readonly found?: Ledger;
}

let close = (): void => {};
afterEach(() => close());

async function run(line: string, stored: Readonly<Record<string, Stored>>): Promise<Outcome> {
  const gateway = await startFakeGateway({
    evaluations: {
      getEvaluation: answers(({ name }: GetEvaluationRequest) => {
        const one = stored[name];
        if (!one) throw notFound('evaluation', name);
        const { found: _, ...evaluation } = one;
        return { evaluation: { ...Evaluation.fromPartial({ name }), ...evaluation } };
      }),
      readEvaluationFile: streams(function* ({ name, path }: ReadEvaluationFileRequest) {
        const files: Record<string, Uint8Array> = encodeLedger(stored[name]?.found ?? ledgerOf(0));
        const bytes = Buffer.from(files[path] ?? []);
        yield { offset: 0, data: bytes.subarray(0, 100) };
        yield { offset: 100, data: bytes.subarray(100) };
      }),
    },
  });
  close = gateway.close;
  return jsigr(line.split(' '), { gateway });
}

const pair = {
  'evaluations/a': { ...succeeded, found: ledgerOf(0) },
  'evaluations/b': { ...succeeded, found: ledgerOf(10) },
};

describe('compare', () => {
  it('says how often each is right, with exact intervals, and whether chance may split them so', async () => {
    const { code, out, err } = await run('compare evaluations/a b', pair);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^first +evaluations\/a, models\/aaaaaaaaaaaa, masking not assessed$/m);
    expect(out).toMatch(/^dataset +datasets\/glyphs, part test, 10 samples that both have$/m);
    // By hand: 0.025^(1/10) is 0.6915, and p is 2 * 2^-10.
    expect(out).toMatch(/^no attack +- +100\.0 % \[69\.2, 100\.0\] +100\.0 % \[69\.2, 100\.0\] +0 +0 +1$/m);
    expect(out).toMatch(/^linf direct +0\.1 +100\.0 % \[69\.2, 100\.0\] +0\.0 % \[0\.0, 30\.8\] +10 +0 +0\.001953$/m);
    expect(out).toContain('the choice of the images, not the weakness of an attack');
    expect(out).not.toMatch(/^note/m);
  });

  it('gives the same as JSON', async () => {
    const { out } = await run('compare a b -o json', pair);
    const found = JSON.parse(out);
    expect(found).toMatchObject({
      first: { evaluation: 'evaluations/a' },
      second: { evaluation: 'evaluations/b', masking: 'MASKING_VERDICT_UNSPECIFIED' },
      samples: 10,
      clean: { p: 1 },
      robust: [{ norm: 'linf', epsilon: 0.1, source: 'target', onlyFirst: 10, onlySecond: 0, second: { count: 0 } }],
      notes: [],
    });
    expect(found.robust[0].p).toBeCloseTo(2 / 1024, 12);
  });

  it('says what may make a difference besides the models', async () => {
    const transfer = { ...attack, attack: 'transfer', access: AttackAccess.ATTACK_ACCESS_TRANSFER };
    const other = RobustnessReport.fromPartial({
      ...report,
      attacks: [{ ...attack, settings: { steps: '40' } }, transfer],
      surrogates: ['models/bb'],
      flags: ['its budget was spent'],
    });
    const { out } = await run('compare a b', { ...pair, 'evaluations/b': { ...succeeded, report: other } });
    expect(out).toMatch(/^note +only the first was attacked by pgd linf: a difference may be that of the attacks$/m);
    expect(out).toMatch(/^note +only the second was attacked by pgd linf steps=40, transfer linf:/m);
    expect(out).toMatch(/^note +transferred examples were made on other surrogates for each$/m);
    expect(out).toMatch(/^note +second: its budget was spent$/m);
  });

  it.each<[string, Stored, number, string]>([
    ['one that has not ended', { state: RunState.RUN_STATE_RUNNING }, 4, 'state: evaluations/b is running'],
    ['one that failed', { state: RunState.RUN_STATE_FAILED }, 4, 'state: evaluations/b is failed'],
    ['one without a ledger', { ...succeeded, report: { ...report, ledger: '' } }, 4, 'report.ledger: evaluations/b'],
    [
      'a transfer matrix',
      { state: succeeded.state, transferMatrix: TransferMatrix.fromPartial({ ledger: 'c0ffee' }) },
      4,
      'models: evaluations/b is a transfer matrix',
    ],
    [
      'another dataset',
      { ...succeeded, report: { ...report, dataset: 'datasets/mnist' } },
      2,
      'dataset: evaluations/a',
    ],
    ['another part', { ...succeeded, report: { ...report, part: 'held-out' } }, 2, 'part: evaluations/a is on test'],
    ['no common sample', { ...succeeded, found: { ...ledgerOf(0), clean: [] } }, 2, 'samples: the two have none'],
    ['no common radius', { ...succeeded, found: ledgerOf(0, 0.2) }, 2, 'epsilons: the two have none in common'],
  ])('refuses %s, by name', async (_, second, exit, words) => {
    const { code, out, err } = await run('compare a b', { ...pair, 'evaluations/b': second });
    expect({ code, out }).toEqual({ code: exit, out: '' });
    expect(err).toContain(`jsigr: ${words}`);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('of an evaluation that is not there is 3', async () => {
    const { code, err } = await run('compare a c', pair);
    expect([code, err]).toEqual([3, expect.stringContaining('evaluations/c')]);
  });
});
