// An attacker that tells the truth about one checkpoint, and then lies, each time in another way. It ends with what the trainer said to its lies.
import { attackerWorker } from '@jsigr/attacker';
import {
  type FollowRunRequest,
  type FollowRunResponse,
  Proportion,
  RobustnessReport,
  StreamCheckpointsRequest,
  TrainerServiceClient,
} from '@jsigr/proto';
import { connect, JsigrError, permissionDenied, runWorker, serverStream, unary } from '@jsigr/service';

const share = (successes: number, trials: number) =>
  Proportion.fromPartial({ successes, trials, value: successes / trials, lower: 0, upper: 1 });

class Liar {
  async *follow(request: FollowRunRequest, signal: AbortSignal): AsyncGenerator<FollowRunResponse> {
    const { run, trainerAddress, trainerToken, plan, dataset, fencingToken } = request;
    const trainer = connect(TrainerServiceClient, { address: trainerAddress, token: trainerToken });
    const { norm = '', epsilons: [epsilon = 0] = [] } = plan?.attacks[0] ?? {};
    const tell = (checkpointSequence: number, model: string, change: object = {}, token = fencingToken) => {
      const summary = { norm, epsilon, transferred: share(5, 10) };
      const subject = { model, dataset, part: plan?.part, cleanAccuracy: share(9, 10), epsilons: [summary] };
      const report = RobustnessReport.fromPartial({ ...subject, ...change });
      return unary(trainer, 'reportRobustness', { run, checkpointSequence, report, fencingToken: token });
    };
    let [sequence, model] = [0, ''];
    try {
      const asked = StreamCheckpointsRequest.fromPartial({ run, awaitReports: true });
      for await (const { part } of serverStream(trainer, 'streamCheckpoints', asked, { signal })) {
        if (part?.$case === 'header') [sequence, model] = [part.value.sequence, part.value.model];
        if (part?.$case !== 'endOfCheckpoint') continue;
        if (sequence === 1) {
          await tell(1, model);
          yield { checkpointSequence: 1 };
          continue;
        }
        const best = { norm, epsilon, transferred: share(10, 10) };
        const lies = [
          () => tell(sequence, `models/${'0'.repeat(64)}`),
          () => tell(sequence, model, { epsilons: [best] }),
          () => tell(sequence, model, { cleanAccuracy: { ...share(9, 10), successes: 11 } }),
          () => tell(sequence, model, { cleanAccuracy: share(10, 10), epsilons: [{ ...best, epsilon: epsilon * 2 }] }),
          () => tell(sequence, model, { part: 'test' }),
          () => tell(sequence + 1000, model),
          () => tell(sequence, model, {}, fencingToken + 1),
        ];
        const answers: string[] = [];
        for (const lie of lies)
          answers.push(
            await lie().then(
              () => 'taken',
              (error) => JsigrError.from(error).violations[0]?.field ?? JsigrError.from(error).reason,
            ),
          );
        throw permissionDenied('LIES', `lies were told: ${answers.join(', ')}`);
      }
    } finally {
      trainer.close();
    }
  }

  async close(): Promise<void> {}
}

await runWorker({
  ...attackerWorker,
  module: (context) => {
    const { providers = [], ...rest } = attackerWorker.module(context);
    const provide = providers.map((each) => (each as { provide: unknown }).provide);
    return { ...rest, providers: provide.map((token) => ({ provide: token as never, useFactory: () => new Liar() })) };
  },
});
