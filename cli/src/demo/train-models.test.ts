import { RobustnessReport, RunEvent } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { shareOf } from '../testing/report-data.ts';
import { demoPlan, MODELS, quickPlan } from './plan.ts';
import { curveOf, demoSpec, secondsPerEpoch } from './train-models.ts';

const event = (payload: NonNullable<RunEvent['payload']>): RunEvent => ({ sequence: 1, time: undefined, payload });
const epoch = (seconds: number): RunEvent =>
  event({ $case: 'epochCompleted', value: { epoch: 1, metrics: [], seconds } });
const attackedAt = (epoch: number): RunEvent =>
  event({
    $case: 'robustnessReported',
    value: RobustnessReport.fromPartial({
      epoch,
      cleanAccuracy: shareOf(0.9),
      epsilons: [{ norm: 'linf', epsilon: 0.1, transferred: shareOf(epoch / 10) }],
    }),
  });

describe('seconds per epoch', () => {
  it.each([
    ['is the middle of an odd number', [9, 2, 3], 3],
    ['is between the two middle ones of an even number', [9, 2, 4, 1], 3],
    ['of one epoch is its own', [2], 2],
    ['of none is 0', [], 0],
  ])('%s', (_, seconds, median) => expect(secondsPerEpoch(seconds.map(epoch))).toBe(median));
});

describe('the curve of a run', () => {
  it('holds each report at its epoch, whatever the order they came in', () => {
    const curve = curveOf([attackedAt(2), epoch(1), attackedAt(1)]);
    expect(curve.map(({ epoch: at, transferred }) => [at, transferred?.value])).toEqual([
      [1, 0.1],
      [2, 0.2],
    ]);
  });

  it('leaves out what was not attacked', () => expect(curveOf([attackedAt(1)])[0]).not.toHaveProperty('whiteBox'));
});

it('every model of the demonstration is attacked while it trains', () => {
  for (const model of MODELS) {
    const { loop, objective } = demoSpec(model, demoPlan, 1);
    expect(objective).toBe(model.objective);
    expect(loop?.plan?.attacks.map(({ attack }) => attack)).toEqual(['pgd', 'mi-fgsm']);
    expect(loop?.plan?.part).toBe('held-out');
  }
});

it('the last epoch of the quick demonstration is at the whole radius too', () => {
  for (const plan of [demoPlan, quickPlan])
    for (const model of MODELS) {
      const { objectiveSettings, epochs } = demoSpec(model, plan, 1);
      expect(Number(objectiveSettings.epsilonWarmupEpochs ?? 0)).toBeLessThan(epochs);
    }
});
