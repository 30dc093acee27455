import { describe, expect, it } from 'vitest';
import { checkAgreement, type Sample, type Series } from '../bench/peers/speed.ts';
import { speedReport, summarise } from '../bench/peers/speed-report.ts';

const sample = (milliseconds: number, otherCores: number): Sample => ({
  milliseconds,
  otherCores,
  seconds: 1,
  ownCores: 2,
});

function series(peer: string, samples: readonly Sample[], change: Partial<Series> = {}): Series {
  const rest = {
    workload: 'lenet 64',
    job: 'jsigr',
    variant: '',
    results: [],
    compileSeconds: 0,
    flops: undefined,
  } as const;
  return { ...rest, peer, samples: [...samples], ...change };
}

const quiet = (...times: number[]) => times.map((time) => sample(time, 0));

describe('a summary of samples', () => {
  it('leaves out those that other processes disturbed', () => {
    const [row] = summarise([series('ours', [...quiet(10, 12, 11), sample(50, 0.9)])], 0.1);
    expect(row).toMatchObject({ median: 11, best: 10, used: 3, taken: 4, isDisturbed: false });
  });

  it('uses all and says so where too few were undisturbed', () => {
    const [row] = summarise([series('ours', [...quiet(10, 12), sample(50, 0.9), sample(60, 2)])], 0.1);
    expect(row).toMatchObject({ median: 31, used: 4, isDisturbed: true });
  });

  it("takes the fastest of a peer's variants", () => {
    const all = [
      series('torch', quiet(30, 30, 30), { variant: 'NCHW' }),
      series('torch', quiet(20, 20, 20), { variant: 'channels_last' }),
    ];
    expect(summarise(all, 0.1).map(({ variant }) => variant)).toEqual(['channels_last']);
  });
});

describe('the report', () => {
  const run = (ours: number) => ({
    versions: { ours: 'o 1', torch: 't 1' },
    series: [
      series('ours', quiet(ours, ours, ours), { flops: 3e9 }),
      series('ours', quiet(10, 10, 10), { job: 'peak', flops: 2e9 }),
      series('torch', quiet(100, 100, 100)),
    ],
  });

  it('gives ratios, bounds, the rate and its part of the peak', () => {
    // 3 GFLOP in 60 ms are 50 GFLOP/s; the peak is 2 GFLOP in 10 ms, 200 GFLOP/s.
    expect(speedReport(run(60), 0.1)).toContain(
      '| lenet 64 jsigr | 60.0 / 60.0 | 100.0 / 100.0 | 0.60 (at most 0.65: held) | 50 (25 %) |',
    );
    expect(speedReport(run(90), 0.1)).toContain('0.90 (at most 0.65: NOT HELD)');
  });
});

describe('peers that are timed', () => {
  it('must have computed the same', () => {
    const of = (peer: string, results: number[]) => series(peer, [], { results });
    expect(() => checkAgreement([of('ours', [2, 1.5]), of('torch', [2.0001, 1.505])])).not.toThrow();
    expect(() => checkAgreement([of('ours', [2, 1.5]), of('torch', [2, 1.51])])).toThrow(
      'lenet 64 jsigr, step 2: torch  gives 1.51, ours 1.5: not the same work',
    );
    expect(() => checkAgreement([of('ours', [2]), of('torch', [2.001])])).toThrow('step 1');
    expect(() => checkAgreement([of('ours', [2]), of('torch', [Number.NaN])])).toThrow('not the same work');
  });
});
