import { Feedback, LoopSpec } from '@jsigr/proto';
import type { ComputeThread } from '@jsigr/service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LoopFeedback } from './loop-feedback.ts';
import type { FeedbackArgument, TrainerMethods } from './methods.ts';
import { reportOf, temporaryContext } from './testing.ts';

let environment: Awaited<ReturnType<typeof temporaryContext>>;
beforeAll(async () => {
  environment = await temporaryContext();
});
afterAll(() => environment.end());

/** A thread that only says what it was told. */
function feedbackOf(loop: Partial<LoopSpec>, resumed?: ConstructorParameters<typeof LoopFeedback>[3]) {
  const told: FeedbackArgument[] = [];
  const thread = {
    call: async (_: string, argument: FeedbackArgument) => {
      told.push(argument);
      return { examples: 0 };
    },
  } as unknown as ComputeThread<TrainerMethods>;
  const spec = LoopSpec.fromPartial({ enabled: true, ...loop });
  return { told, feedback: new LoopFeedback(spec, environment.artefacts, thread, resumed) };
}

test('a run that is resumed goes on with the penalties that it had', async () => {
  const manifest = new TextEncoder().encode(JSON.stringify({ metrics: { penaltyFactor: 4 } }));
  const { told, feedback } = feedbackOf(
    { feedback: Feedback.FEEDBACK_ADAPT },
    { checkpoint: { 'manifest.json': manifest } },
  );
  expect(await feedback.take(reportOf('models/a', {}), true)).toMatchObject({ model: 'models/a', penaltyFactor: 5 });
  expect(told).toEqual([{ penaltyFactor: 5, bestClean: 0.9 }]);
});

test('a run that is resumed remembers the best clean accuracy: its penalties still fall where that was lost', async () => {
  const manifest = new TextEncoder().encode(JSON.stringify({ metrics: { penaltyFactor: 3, bestClean: 0.95 } }));
  const { told, feedback } = feedbackOf(
    { feedback: Feedback.FEEDBACK_ADAPT },
    { checkpoint: { 'manifest.json': manifest } },
  );
  await feedback.take(reportOf('models/a', {}), true);
  expect(told).toEqual([{ penaltyFactor: 2, bestClean: 0.95 }]);
});

test('a run that is resumed begins with what reports said after its checkpoint was made', async () => {
  const manifest = new TextEncoder().encode(JSON.stringify({ metrics: { penaltyFactor: 3, bestClean: 0.7 } }));
  const { told, feedback } = feedbackOf(
    { feedback: Feedback.FEEDBACK_ADAPT },
    { checkpoint: { 'manifest.json': manifest }, control: { factor: 6, bestClean: 0.95 } },
  );
  expect(feedback.begun).toEqual({ penaltyFactor: 6, bestClean: 0.95 });
  // 0.9 is less than 0.95 by more than the tolerance
  await feedback.take(reportOf('models/a', {}), true);
  expect(told).toEqual([{ penaltyFactor: 4, bestClean: 0.95 }]);
  expect(feedbackOf({ feedback: Feedback.FEEDBACK_ADAPT }).feedback.begun).toEqual({});
});

test('a report changes nothing where the loop only selects', async () => {
  const { told, feedback } = feedbackOf({ feedback: Feedback.FEEDBACK_SELECT });
  expect(await feedback.take({ ...reportOf('models/a', {}), trainingExamples: 'ab' }, true)).toBeUndefined();
  expect(told).toEqual([]);
});

test('training is to end once as many reports in a row as patience has were no better', async () => {
  const { told, feedback } = feedbackOf({ feedback: Feedback.FEEDBACK_EARLY_STOP, patience: 2 });
  const report = reportOf('models/a', {});
  for (const isBetter of [true, false, true, false]) expect(await feedback.take(report, isBetter)).toBeUndefined();
  expect(feedback.stoppedAfter).toBeUndefined();
  expect(await feedback.take(report, false)).toMatchObject({ stoppedAfterReports: 2 });
  // Reports of checkpoints that were made meanwhile: it was for two, whatever these say.
  expect(await feedback.take(report, false)).toBeUndefined();
  expect(await feedback.take(report, true)).toBeUndefined();
  expect(feedback.stoppedAfter).toBe(2);
  // It is over, and said so once, whatever comes now.
  expect(await feedback.take(report, false)).toBeUndefined();
  expect(told).toEqual([{ stop: true }]);
});

test('a run that is resumed goes on counting where it was', async () => {
  const loop = { feedback: Feedback.FEEDBACK_EARLY_STOP };
  const { feedback } = feedbackOf(loop, { reportsSince: 4 });
  expect(await feedback.take(reportOf('models/a', {}), false)).toMatchObject({ stoppedAfterReports: 5 });
  expect(feedbackOf(loop, { reportsSince: 5 }).feedback.stoppedAfter).toBe(5);
});
