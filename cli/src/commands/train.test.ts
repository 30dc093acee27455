import {
  CheckpointSaved,
  CreateTrainingRunRequest,
  Dataset,
  Feedback,
  type RunEvent,
  RunState,
  TrainingRun,
  type WatchTrainingRunRequest,
} from '@jsigr/proto';
import { invalidArgument, unavailable } from '@jsigr/service/client';
import { afterEach, describe, expect, it } from 'vitest';
import { jsigr } from '../testing/command.ts';
import {
  answers,
  embedding,
  type FakeGateway,
  type FakeServices,
  noGateways,
  startFakeGateway,
  streams,
} from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';

const NAME = 'trainingRuns/r1';

let gateway: FakeGateway | undefined;
afterEach(() => gateway?.close());

const state = (sequence: number, state_: RunState, reason = ''): RunEvent => ({
  sequence,
  time: undefined,
  payload: { $case: 'stateChanged', value: { state: state_, reason } },
});
const epoch = (sequence: number, number: number): RunEvent => ({
  sequence,
  time: undefined,
  payload: { $case: 'epochCompleted', value: { epoch: number, metrics: [{ name: 'loss', value: 0.5 }], seconds: 2 } },
});
const succeeded = [
  state(1, RunState.RUN_STATE_RUNNING),
  epoch(2, 1),
  epoch(3, 2),
  state(4, RunState.RUN_STATE_SUCCEEDED),
];

/** A gateway with one run, whose events are given. */
function services(
  watch: (request: WatchTrainingRunRequest) => Iterable<RunEvent> | AsyncIterable<RunEvent>,
  seen: { created?: CreateTrainingRunRequest; cancelled?: number } = {},
  cancel: () => void = () => {},
): FakeServices {
  const run = () =>
    TrainingRun.fromPartial({
      name: NAME,
      spec: seen.created?.spec,
      state: RunState.RUN_STATE_SUCCEEDED,
      bestModel: `models/${'ab'.repeat(32)}`,
    });
  return {
    training: {
      createTrainingRun: answers((request: CreateTrainingRunRequest) => {
        seen.created = request;
        return { trainingRun: run() };
      }),
      getTrainingRun: answers(() => ({ trainingRun: run() })),
      cancelTrainingRun: answers(() => {
        seen.cancelled = (seen.cancelled ?? 0) + 1;
        cancel();
        return { trainingRun: run() };
      }),
      watchTrainingRun: streams(async function* (request: WatchTrainingRunRequest) {
        for await (const event of watch(request)) if (event.sequence > request.afterSequence) yield { event };
      }),
    },
    datasets: {
      getDataset: answers(({ name }: { name: string }) => ({
        dataset: Dataset.fromPartial({ name, input: [28, 28, 1] }),
      })),
    },
  };
}

describe('train', () => {
  it('sends what the options say, follows the run and says where the model is', async () => {
    const seen: { created?: CreateTrainingRunRequest } = {};
    gateway = await startFakeGateway(services(() => succeeded, seen));
    const line =
      'train --dataset mnist --architecture lenet --norm batch --activation silu --denoise --objective pgd-at --set epsilon=0.2 --epochs 2 --batch-size 32 --lr 0.01 --optimizer sgd --momentum 0.9 --schedule cosine --seed 7 --augment crop=2,flip --technique averageDecay=0.99 --teacher 12ab --initial models/34cd --training-surrogate 56ef --attack pgd:0.3:steps=5 --attack noise --epsilon 0.1 --samples 64 --surrogate abc --feedback none --name mine --label team=red';
    const { code, out, err } = await jsigr(line.split(' '), { gateway });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(seen.created).toMatchObject({ displayName: 'mine', labels: { team: 'red' } });
    expect(seen.created?.spec).toMatchObject({
      dataset: 'datasets/mnist',
      architecture: 'lenet',
      norm: 'batch',
      activation: 'silu',
      denoise: true,
      objective: 'pgd-at',
      objectiveSettings: { epsilon: '0.2' },
      optimizer: { name: 'sgd', learningRate: 0.01, momentum: 0.9, weightDecay: 0, schedule: 'cosine' },
      epochs: 2,
      batchSize: 32,
      seed: 7,
      checkpointEveryEpochs: 1,
      augmentation: { cropPadding: 2, flip: true, noise: 0, cutout: 0 },
      techniques: { averageDecay: '0.99' },
      teacher: 'models/12ab',
      initialModel: 'models/34cd',
      surrogates: ['models/56ef'],
      loop: {
        enabled: true,
        feedback: Feedback.FEEDBACK_NONE,
        plan: {
          attacks: [
            { attack: 'pgd', epsilons: [0.3], settings: { steps: '5' } },
            { attack: 'noise', epsilons: [0.1] },
          ],
          samples: 64,
          part: 'held-out',
          surrogates: ['models/abc'],
          seed: 7,
        },
      },
    });
    expect(out).toContain(`${NAME}: pgd-at on lenet, datasets/mnist, 2 epochs, seed 7\n`);
    expect(out).toContain('epoch 1: loss 0.5, 2.0 s\n');
    expect(out).toContain(`models/${'ab'.repeat(32)}`);
    expect(out).toContain(`jsigr evaluate ${NAME}`);
  });

  it('passes on when the reports end the training', async () => {
    const seen: { created?: CreateTrainingRunRequest } = {};
    gateway = await startFakeGateway(services(() => succeeded, seen));
    await jsigr(['train', '--feedback', 'early-stop', '--patience', '7'], { gateway });
    expect(seen.created?.spec?.loop).toMatchObject({ feedback: Feedback.FEEDBACK_EARLY_STOP, patience: 7 });
  });

  it.each([
    [['--no-loop', '--feedback', 'adapt'], /'--feedback <kind>' cannot be used with option '--no-loop'/],
    [['--no-loop', '--attack', 'pgd'], /'--attack <plan>' cannot be used with option '--no-loop'/],
    [['--no-loop', '--patience', '3'], /'--patience <reports>' cannot be used with option '--no-loop'/],
    [['--feedback', 'early-stop', '--patience', '0'], /"0" is not a whole number in 1/],
    [['--feedback', 'augment', '--training-examples', '0'], /"0" is not a whole number in 1/],
  ])('refuses what would change nothing: %s', async (options, message) => {
    gateway = await startFakeGateway(services(() => succeeded, {}));
    const { code, err } = await jsigr(['train', ...options], { gateway });
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it('attacks with pgd and mi-fgsm at the usual radii of grey images unless told otherwise, and not at all with --no-loop', async () => {
    const seen: { created?: CreateTrainingRunRequest } = {};
    gateway = await startFakeGateway(services(() => succeeded, seen));
    await jsigr(['train'], { gateway });
    expect(seen.created?.spec?.loop?.plan?.attacks.map(({ attack, epsilons }) => [attack, epsilons])).toEqual([
      ['pgd', [0.1, 0.2, 0.3]],
      ['mi-fgsm', [0.1, 0.2, 0.3]],
    ]);
    await jsigr(['train', '--no-loop'], { gateway });
    expect(seen.created?.spec?.loop).toBeUndefined();
  });

  it('shows every field that was refused and ends with 2', async () => {
    gateway = await startFakeGateway({
      ...services(() => []),
      training: {
        createTrainingRun: answers(() => {
          throw invalidArgument([
            { field: 'spec.architecture', description: '"vgg" is none of mlp, lenet' },
            { field: 'spec.epochs', description: '20000 given, 1 to 10000 allowed' },
          ]);
        }),
      },
    });
    const { code, err } = await jsigr(['train', '--architecture', 'vgg'], { gateway });
    expect(code).toBe(2);
    expect(err).toBe(
      'jsigr: the request was refused\n  spec.architecture: "vgg" is none of mlp, lenet\n  spec.epochs: 20000 given, 1 to 10000 allowed\n',
    );
  });

  it('ends with 1 and the reason when the run fails', async () => {
    gateway = await startFakeGateway(services(() => [state(1, RunState.RUN_STATE_FAILED, 'the loss is not finite')]));
    const { code, err } = await jsigr(['train'], { gateway });
    expect({ code, err }).toEqual({ code: 1, err: `jsigr: ${NAME} failed: the loss is not finite\n` });
  });

  it('writes JSON lines: what was created, each event, what became of it', async () => {
    gateway = await startFakeGateway(services(() => succeeded));
    const { code, out } = await jsigr(['train', '-o', 'json'], { gateway });
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    expect(lines.map((line) => Object.keys(line)[0])).toEqual([
      'trainingRun',
      'event',
      'event',
      'event',
      'event',
      'trainingRun',
    ]);
    expect(lines[4]).toEqual({ event: { sequence: 4, stateChanged: { state: 'RUN_STATE_SUCCEEDED' } } });
  });
});

describe('following a run', () => {
  it('takes a broken stream up again after the last event', async () => {
    const asked: number[] = [];
    gateway = await startFakeGateway(
      services(function* ({ afterSequence }) {
        asked.push(afterSequence);
        if (afterSequence === 0) {
          yield* succeeded.slice(0, 2);
          throw unavailable('RESTARTING', 'the gateway restarts');
        }
        yield* succeeded;
      }),
    );
    const terminal = fakeTerminal();
    const { code, out } = await jsigr(['runs', 'watch', 'r1'], { gateway, terminal });
    expect({ code, asked, waits: terminal.waits }).toEqual({ code: 0, asked: [0, 2], waits: [500] });
    expect(out.match(/epoch 1/g)).toHaveLength(1);
    expect(out).toContain('epoch 2');
  });

  it('goes on with a gateway of its own where that of another command ended', async () => {
    gateway = await startFakeGateway(services(() => succeeded));
    const others = await startFakeGateway(
      services(function* () {
        yield* succeeded.slice(0, 2);
        others.close();
        throw unavailable('SERVER_STOPPING', 'the server is stopping');
      }),
    );
    const own = embedding(gateway);
    let looks = 0;
    const find = async () => (++looks === 1 ? { grpcAddress: others.address, embedded: true } : undefined);
    const terminal = fakeTerminal();
    const { code, out, err } = await jsigr(['runs', 'watch', 'r1'], { gateways: { ...own, find }, terminal });
    expect({ code, waits: terminal.waits, state: own.state }).toEqual({
      code: 0,
      waits: [],
      state: { started: 1, closed: 1 },
    });
    expect(out + err).toContain('that of another command, which has ended; trainingRuns/r1 goes on with another');
    expect(out.match(/epoch 1/g)).toHaveLength(1);
    expect(out).toContain('epoch 2');
  });

  it.each([
    ['another command that is still there', true],
    ['`jsigr up`, which may be restarted', false],
  ])('waits for the gateway of %s', async (_, embedded) => {
    let breaks = 1;
    gateway = await startFakeGateway(
      services(() => {
        if (breaks-- > 0) throw unavailable('BUSY', 'not now');
        return succeeded;
      }),
    );
    const grpcAddress = gateway.address;
    const terminal = fakeTerminal();
    let looks = 0;
    const find = async () => (++looks === 1 || embedded ? { grpcAddress, embedded } : undefined);
    const gateways = { ...noGateways, find };
    const { code } = await jsigr(['runs', 'watch', 'r1'], { gateways, terminal });
    expect({ code, waits: terminal.waits }).toEqual({ code: 0, waits: [500] });
  });

  it('cancels again at the gateway that goes on, where the one that was asked has ended', async () => {
    const seen: { cancelled?: number } = {};
    gateway = await startFakeGateway(
      services(() => [...succeeded.slice(0, 2), state(3, RunState.RUN_STATE_CANCELLED)], seen),
    );
    const terminal = fakeTerminal();
    const others = await startFakeGateway(
      services(
        function* () {
          yield* succeeded.slice(0, 2);
          terminal.interrupt();
          throw unavailable('SERVER_STOPPING', 'the server is stopping');
        },
        {},
        () => {
          throw unavailable('SERVER_STOPPING', 'the server is stopping');
        },
      ),
    );
    let looks = 0;
    const find = async () => (++looks === 1 ? { grpcAddress: others.address, embedded: true } : undefined);
    const { code } = await jsigr(['train', '--no-loop'], { gateways: { ...embedding(gateway), find }, terminal });
    others.close();
    expect({ code, seen }).toEqual({ code: 130, seen: { cancelled: 1 } });
  });

  it('gives up after five attempts, with 5', async () => {
    gateway = await startFakeGateway(
      services(() => {
        throw unavailable('DOWN', 'the gateway is down');
      }),
    );
    const terminal = fakeTerminal();
    const { code, err } = await jsigr(['runs', 'watch', 'r1'], { gateway, terminal });
    expect(code).toBe(5);
    expect(err).toContain('the gateway is down');
    expect(terminal.waits).toEqual([500, 1000, 2000, 4000, 8000]);
  });

  it('is one error when events end before the run does', async () => {
    gateway = await startFakeGateway(services(() => succeeded.slice(0, 1)));
    const { code, err } = await jsigr(['runs', 'watch', 'r1'], { gateway });
    expect(code).toBe(5);
    expect(err).toContain('ended the events of trainingRuns/r1 before the run had ended');
  });
});

describe('Ctrl-C', () => {
  /** Events of a run that trains until it is cancelled; `started` resolves at the first event. */
  function endless() {
    let cancelRun = (): void => {};
    const cancelled = new Promise<void>((resolve) => {
      cancelRun = resolve;
    });
    const watch = async function* () {
      yield state(1, RunState.RUN_STATE_RUNNING);
      await cancelled;
      yield state(2, RunState.RUN_STATE_CANCELLED);
    };
    return { cancelRun, watch };
  }

  /** A terminal that presses Ctrl-C when a text is written. */
  function pressing(texts: readonly string[]) {
    const left = [...texts];
    const terminal = fakeTerminal({
      out: (text) => {
        terminal.written.out += text;
        if (left[0] !== undefined && text.includes(left[0])) {
          left.shift();
          terminal.interrupt();
        }
      },
    });
    return terminal;
  }

  it('cancels the run, waits for its end, and ends with 130', async () => {
    const { watch, cancelRun } = endless();
    const seen: { cancelled?: number } = {};
    gateway = await startFakeGateway(services(watch, seen, cancelRun));
    const { code, out, err } = await jsigr(['train'], { gateway, terminal: pressing(['running']) });
    expect({ code, cancelled: seen.cancelled }).toEqual({ code: 130, cancelled: 1 });
    expect(out).toContain(`cancelling ${NAME}; press Ctrl-C again to leave without waiting\ncancelled\n`);
    expect(err).toBe(`jsigr: ${NAME} was cancelled\n`);
  });

  it('leaves without waiting when it is pressed again', async () => {
    const { watch } = endless();
    const seen: { cancelled?: number } = {};
    gateway = await startFakeGateway(services(watch, seen));
    const { code, err } = await jsigr(['train'], { gateway, terminal: pressing(['running', 'cancelling']) });
    expect({ code, cancelled: seen.cancelled }).toEqual({ code: 130, cancelled: 1 });
    expect(err).toContain(`left ${NAME} before its end`);
  });

  it('leaves a run that is only watched alone', async () => {
    const { watch } = endless();
    const seen: { cancelled?: number } = {};
    gateway = await startFakeGateway(services(watch, seen));
    const { code } = await jsigr(['runs', 'watch', 'r1'], { gateway, terminal: pressing(['running']) });
    expect({ code, cancelled: seen.cancelled }).toEqual({ code: 130, cancelled: undefined });
  });
});

describe('a gateway of the command’s own', () => {
  it('ends with the command, whether that succeeds or fails', async () => {
    gateway = await startFakeGateway(services(() => succeeded));
    const gateways = embedding(gateway);
    expect((await jsigr(['train'], { gateways })).code).toBe(0);
    expect((await jsigr(['models', 'list'], { gateways })).code).toBe(1);
    expect(gateways.state).toEqual({ started: 2, closed: 2 });
  });

  it('cannot keep a run: --detach needs one that stays', async () => {
    gateway = await startFakeGateway(services(() => succeeded));
    const gateways = embedding(gateway);
    const { code, err } = await jsigr(['train', '--detach'], { gateways });
    expect(code).toBe(4);
    expect(err).toContain('jsigr up');
    expect(gateways.state).toEqual({ started: 1, closed: 1 });
  });

  it('is not started where one runs on the data directory already', async () => {
    const fake = await startFakeGateway(services(() => succeeded));
    gateway = fake;
    const asked: string[] = [];
    const gateways = {
      ...embedding(fake),
      find: async (directory: string) => {
        asked.push(directory);
        return { grpcAddress: fake.address, embedded: false };
      },
    };
    const terminal = fakeTerminal({ directory: '/home/ada', env: { JSIGR_DATA: 'data' } });
    const { code, out } = await jsigr(['train', '--detach'], { gateways, terminal });
    expect({ code, asked, started: gateways.state.started }).toEqual({
      code: 0,
      asked: ['/home/ada/data'],
      started: 0,
    });
    expect(out).toContain(NAME);
  });

  it('ends when Ctrl-C comes while nothing is followed', async () => {
    const terminal = fakeTerminal();
    gateway = await startFakeGateway({
      training: {
        listTrainingRuns: () => terminal.interrupt(), // and never answers
      },
    });
    const gateways = embedding(gateway);
    const { code, err } = await jsigr(['runs', 'list'], { gateways, terminal });
    expect({ code, err, closed: gateways.state.closed }).toEqual({ code: 130, err: 'jsigr: interrupted\n', closed: 1 });
  });
});

it('a server that nobody listens at is 5, with a hint', async () => {
  const closed = await startFakeGateway({});
  closed.close();
  const { code, err } = await jsigr(['runs', 'list'], { gateway: closed });
  expect(code).toBe(5);
  expect(err).toContain('hint: is a gateway running there?');
});

it('up says where to look, and ends at Ctrl-C', async () => {
  const fake = await startFakeGateway({});
  gateway = fake;
  const gateways = embedding(fake);
  const terminal = fakeTerminal({
    directory: '/home/ada',
    out: (text) => {
      terminal.written.out += text;
      queueMicrotask(terminal.interrupt);
    },
  });
  const { code, out } = await jsigr(['up', '--port', '0', '--http-port', '0'], { gateways, terminal });
  expect({ code, closed: gateways.state.closed }).toEqual({ code: 0, closed: 1 });
  expect(out).toContain(`HTTP       http://127.0.0.1:1\ngRPC       ${fake.address}\ndata       /home/ada/.jsigr\n`);
});

// The message is part of the contract's events but changes nothing that is shown.
it('events that nobody needs to see print nothing', async () => {
  const saved: RunEvent = {
    sequence: 2,
    time: undefined,
    payload: { $case: 'checkpointSaved', value: CheckpointSaved.fromPartial({ step: 5 }) },
  };
  gateway = await startFakeGateway(
    services(() => [state(1, RunState.RUN_STATE_RUNNING), saved, state(3, RunState.RUN_STATE_SUCCEEDED)]),
  );
  const { out } = await jsigr(['runs', 'watch', 'r1'], { gateway });
  expect(out).toBe('running\nsucceeded\n');
});
