import { MaskingVerdict, RobustnessReport, RunEvent, RunState } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { shareOf } from '../testing/report-data.ts';
import { advance, atStart, noteOf, statusLine } from './progress.ts';

type Payload = NonNullable<RunEvent['payload']>;

const report = RobustnessReport.fromPartial({
  epoch: 2,
  part: 'held-out',
  cleanAccuracy: shareOf(0.9, 100),
  epsilons: [{ norm: 'linf', epsilon: 0.1, whiteBox: shareOf(0.5, 100), transferred: shareOf(0.8, 100) }],
  masking: MaskingVerdict.MASKING_VERDICT_NOT_ASSESSED,
});

const event = (sequence: number, payload: Payload): RunEvent => ({ sequence, time: undefined, payload });

const running = event(1, { $case: 'stateChanged', value: { state: RunState.RUN_STATE_RUNNING, reason: '' } });
const halfway = event(2, {
  $case: 'trainingProgress',
  value: {
    step: 450,
    totalSteps: 1200,
    metrics: [
      { name: 'loss', value: 0.41 },
      { name: 'accuracy', value: 0.875 },
      { name: 'learning_rate', value: 0.001 },
      { name: 'crossEntropy', value: 0.3 },
      { name: 'jacobian', value: 0.11 },
    ],
    imagesPerSecond: 5120.4,
    secondsLeft: 42,
  },
});
const attacked = event(3, { $case: 'robustnessReported', value: report });

describe('the live line', () => {
  it.each([
    ['before any event', [], 'waiting'],
    ['while a run starts', [running], 'running'],
    [
      'while it waits, with the reason',
      [
        event(1, {
          $case: 'stateChanged',
          value: { state: RunState.RUN_STATE_STARTING, reason: 'training a surrogate' },
        }),
      ],
      'starting: training a surrogate',
    ],
    [
      'while it trains',
      [running, halfway],
      'running · epoch 5/12 · step 450/1,200 · 0:42 left · 5,120 images/s · loss 0.41 · accuracy 87.5 % · cross entropy 0.3 + jacobian 0.11',
    ],
    [
      'once a checkpoint was attacked',
      [running, attacked],
      'running · robust 80.0 % [72.2, 87.8] (transferred, linf 0.1; masking: not assessed)',
    ],
  ])('%s', (_, events, line) => expect(statusLine(events.reduce(advance, atStart), 12)).toBe(line));

  it('says which attack an evaluation is at', () => {
    const progress = advance(
      atStart,
      event(1, { $case: 'evaluationProgress', value: { attack: 'pgd', epsilon: 0.2, fraction: 0.625 } }),
    );
    expect(statusLine(progress)).toBe('waiting · pgd at 0.2 · 62.5 % done');
  });

  it('says how long an evaluation will take by the pace since its workers began', () => {
    const at = (sequence: number, seconds: number, fraction: number) => ({
      ...event(sequence, { $case: 'evaluationProgress', value: { attack: 'pgd', epsilon: 0.2, fraction } }),
      time: new Date(seconds * 1000),
    });
    const line = (events: RunEvent[]) => statusLine(events.reduce(advance, atStart));
    expect(line([at(1, 0, 0.1), at(2, 30, 0.12)])).toMatch(/12.0 % done$/);
    expect(line([at(1, 0, 0.1), at(2, 60, 0.4)])).toMatch(/40.0 % done · about 2:00 left$/);
    const again = event(3, { $case: 'stateChanged', value: { state: RunState.RUN_STATE_RUNNING, reason: '' } });
    expect(line([at(1, 0, 0.1), at(2, 60, 0.4), again, at(4, 500, 0.4)])).toMatch(/40.0 % done$/);
  });

  it('says nothing of the time that is left before it knows the speed', () => {
    const value = { step: 1, totalSteps: 1200, metrics: [], imagesPerSecond: 0, secondsLeft: 0 };
    const progress = advance(atStart, event(1, { $case: 'trainingProgress', value }));
    expect(statusLine(progress, 12)).toBe('waiting · epoch 1/12 · step 1/1,200');
  });

  it('a last step has no time left, and the epoch stays within the run', () => {
    const value = { step: 1200, totalSteps: 1200, metrics: [], imagesPerSecond: 0, secondsLeft: 0 };
    const progress = advance(atStart, event(1, { $case: 'trainingProgress', value }));
    expect(statusLine(progress, 12)).toBe('waiting · epoch 12/12 · step 1,200/1,200');
  });
});

describe('lines that stay', () => {
  it.each<[string, Payload, string | undefined]>([
    [
      'a state with its reason',
      { $case: 'stateChanged', value: { state: RunState.RUN_STATE_FAILED, reason: 'the loss is not finite' } },
      'failed: the loss is not finite',
    ],
    [
      'an epoch',
      {
        $case: 'epochCompleted',
        value: {
          epoch: 3,
          metrics: [
            { name: 'loss', value: 0.5 },
            { name: 'held_out_accuracy', value: 0.973 },
            { name: 'mask_seconds', value: 0.00007 },
          ],
          seconds: 2.345,
        },
      },
      'epoch 3: loss 0.5, held out accuracy 97.3 %, 2.3 s',
    ],
    [
      'a report, with samples and the masking verdict',
      { $case: 'robustnessReported', value: report },
      '  attacked at epoch 2: clean 90.0 % [84.1, 95.9]; linf 0.1 white-box 50.0 % [40.2, 59.8], transferred 80.0 % [72.2, 87.8]; 100 held-out samples, masking: not assessed',
    ],
    [
      'skipped checkpoints',
      { $case: 'checkpointsSkipped', value: { models: ['models/a'], reason: 'the attacker is slower' } },
      '  1 checkpoint was not attacked: the attacker is slower',
    ],
    [
      'penalties that follow the reports',
      {
        $case: 'feedbackTaken',
        value: { model: 'models/a', step: 1, penaltyFactor: 1.25, trainingExamples: 0, stoppedAfterReports: 0 },
      },
      "  the next epoch's penalties are multiplied by 1.25",
    ],
    [
      'reports that end the training',
      {
        $case: 'feedbackTaken',
        value: { model: 'models/a', step: 1, penaltyFactor: 0, trainingExamples: 0, stoppedAfterReports: 5 },
      },
      '  training ends with this epoch: robust accuracy was no better in 5 reports in a row',
    ],
    [
      'workers come and go without one',
      { $case: 'workerChanged', value: { kind: 'trainer', address: 'x', change: 'started' } },
      undefined,
    ],
  ])('%s', (_, payload, note) => expect(noteOf(event(1, payload))).toBe(note));
});
