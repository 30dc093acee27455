import {
  type AugmentationSpec,
  CreateTrainingRunResponse,
  GetTrainingRunResponse,
  type RunEvent,
  type TrainingRun,
  TrainingSpec,
  WatchTrainingRunResponse,
} from '@jsigr/proto';
import { failedPrecondition, serverStream, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { checkEnd, follow } from '../follow.ts';
import { augmentation, feedbacks, integer, number, repeated, resource, setting } from '../options.ts';
import { type Output, outputOf } from '../output.ts';
import { type PlanOptions, planOf, withPlanOptions } from '../plan.ts';
import { findDataset } from '../resolve.ts';
import { type Session, withSession } from '../session.ts';
import { epochsText } from '../terminal/format.ts';
import type { Progress } from '../terminal/progress.ts';
import { runText } from './text.ts';

interface TrainOptions extends GlobalOptions, PlanOptions {
  readonly dataset: string;
  readonly architecture: string;
  readonly activation: string;
  readonly norm?: string;
  readonly denoise: boolean;
  readonly objective: string;
  readonly set?: Record<string, string>;
  readonly technique?: Record<string, string>;
  readonly teacher: string;
  readonly initial: string;
  readonly trainingSurrogate?: readonly string[];
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly optimizer: string;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly schedule: string;
  readonly seed: number;
  readonly checkpointEvery: number;
  readonly augment?: AugmentationSpec;
  readonly loop: boolean;
  readonly feedback: string;
  readonly cleanTolerance?: number;
  readonly trainingExamples?: number;
  readonly exampleShare?: number;
  readonly patience?: number;
  readonly name: string;
  readonly label?: Record<string, string>;
  readonly detach: boolean;
}

const model = (name: string) => resource('models', name);

/** What the attacker of the loop tries at each checkpoint, unless --attack says otherwise. */
const LOOP_ATTACKS: readonly string[] = ['pgd:steps=10', 'mi-fgsm'];

export const trainCommand: CommandGroup = (context) =>
  withPlanOptions(
    new Command('train')
      .description('train a classifier while an attacker follows its checkpoints')
      .option('--dataset <name>', 'what to train on (jsigr datasets list)', 'glyphs')
      .option(
        '--architecture <name>',
        'mlp, lenet, smallcnn, resnet8, resnet20, resnet18, wrn-16-4, vgg7 or vgg11; onnx: the imported model of --initial',
        'smallcnn',
      )
      .addOption(
        new Option('--norm <kind>', "normalisation layers (default: the architecture's first choice)").choices([
          'none',
          'batch',
          'group',
        ]),
      )
      .addOption(
        new Option('--activation <name>', 'all but relu make a smooth network')
          .choices(['relu', 'softplus', 'gelu', 'silu', 'tanh'])
          .default('relu'),
      )
      .option('--denoise', 'feature-denoising blocks after every stage of a residual network', false)
      .option('--objective <name>', 'what is minimised (jsigr objectives list)', 'jsigr')
      .addOption(
        new Option(
          '--set <key=value>',
          'a setting of the objective (jsigr objectives show NAME); repeat for more',
        ).argParser(setting),
      )
      .addOption(
        new Option(
          '--technique <key=value>',
          'what goes with any objective, e.g. averageDecay=0.999 (jsigr objectives list); repeat for more',
        ).argParser(setting),
      )
      .addOption(
        new Option('--teacher <model>', 'model whose saliency is used, with --set saliencySource=teacher')
          .argParser(model)
          .default('', 'none'),
      )
      .addOption(
        new Option(
          '--initial <model>',
          'fine-tune this model instead of training a fresh one; of the same dataset: with its seed',
        )
          .argParser(model)
          .default('', 'none'),
      )
      .addOption(
        new Option(
          '--training-surrogate <model>',
          'model whose adversarial examples ensemble-at trains on; repeat for more',
        ).argParser(repeated(model)),
      )
      .addOption(new Option('--epochs <count>', '1..10000').argParser(integer(1)).default(10))
      .addOption(new Option('--batch-size <count>', '1..4096').argParser(integer(1)).default(64))
      .addOption(
        new Option('--lr <rate>', 'learning rate; 0: 0.001 for adam, 0.05 for sgd').argParser(number).default(0),
      )
      .addOption(new Option('--optimizer <name>', 'update rule').choices(['adam', 'sgd']).default('adam'))
      .addOption(new Option('--momentum <value>', "sgd's momentum, in [0,1)").argParser(number).default(0))
      .addOption(new Option('--weight-decay <value>', 'decoupled weight decay').argParser(number).default(0))
      .addOption(
        new Option('--schedule <name>', 'of the learning rate')
          .choices(['constant', 'cosine', 'step'])
          .default('constant'),
      )
      .addOption(new Option('--seed <number>', '0..4294967295').argParser(integer(0)).default(0))
      .addOption(
        new Option('--checkpoint-every <epochs>', 'a checkpoint every so many epochs').argParser(integer(1)).default(1),
      )
      .addOption(new Option('--augment <list>', 'crop=PIXELS,flip,noise=SIZE,cutout=PIXELS').argParser(augmentation))
      .option('--no-loop', 'train without an attacker')
      .addOption(
        new Option(
          '--feedback <kind>',
          'what the reports change: nothing; which checkpoint is the best; with early-stop also when training ends, with adapt also the weights of the penalties, with augment also the batches, which transferred examples join',
        )
          .choices(Object.keys(feedbacks))
          .conflicts('loop')
          .default('select'),
      )
      .addOption(
        new Option('--clean-tolerance <share>', 'with adapt: clean accuracy that robustness may cost (default: 0.02)')
          .argParser(number)
          .conflicts('loop'),
      )
      .addOption(
        new Option(
          '--training-examples <count>',
          'with augment: training images attacked beside each checkpoint (default: 256)',
        )
          .argParser(integer(1))
          .conflicts('loop'),
      )
      .addOption(
        new Option(
          '--example-share <share>',
          'with augment: how often an example takes the place of its image (default: 0.5)',
        )
          .argParser(number)
          .conflicts('loop'),
      )
      .addOption(
        new Option(
          '--patience <reports>',
          'with early-stop: reports in a row no better than the best before training ends (default: 5)',
        )
          .argParser(integer(1))
          .conflicts('loop'),
      )
      .option('--name <text>', 'name for people', '')
      .addOption(new Option('--label <key=value>', 'label of the run; repeat for more').argParser(setting))
      .option('--detach', 'do not follow the run (needs a gateway that stays: jsigr up)', false),
    256,
  )
    .addHelpText(
      'after',
      examples(
        'jsigr train',
        'jsigr train --objective pgd-at --epochs 20 --set epsilon=0.2 --set epsilonWarmupEpochs=6 --seed 1',
        'jsigr train --objective jsigr --teacher 3f9a1c20be --set saliencySource=teacher --technique averageDecay=0.999',
        'jsigr train --architecture resnet20 --norm group --activation gelu --denoise',
        'jsigr train --dataset mnist --architecture lenet --attack pgd:0.1,0.2:steps=20 --attack mi-fgsm:0.2',
        'jsigr train --no-loop -o json | jq .event',
      ),
    )
    .action(async (_: unknown, command: Command) => train(command.optsWithGlobals<TrainOptions>(), context));

async function train(options: TrainOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    if (options.detach && session.embedded)
      throw failedPrecondition(
        'NO_LASTING_GATEWAY',
        '--detach needs a gateway that stays: start one with `jsigr up`, or name one with --server or --context',
      );
    const output = outputOf(options, context);
    const created = await unary(session.training, 'createTrainingRun', {
      spec: await specOf(options, session),
      displayName: options.name,
      requestId: '',
      labels: options.label ?? {},
    });
    const run = created.trainingRun;
    if (options.detach || !run) return output.show(CreateTrainingRunResponse, created, announcement);
    output.line(CreateTrainingRunResponse, created);
    output.say(announcement(created).trimEnd());
    const end = await followRun(run, session, output, context, true);
    const after = await unary(session.training, 'getTrainingRun', { name: run.name });
    output.line(GetTrainingRunResponse, after);
    if (after.trainingRun) output.say(`\n${runText(after.trainingRun).trimEnd()}`);
    checkEnd(run.name, end);
    output.say(`\nNext: jsigr evaluate ${run.name}`);
  });
}

/** Follows a training run to its end; with `cancels` the first Ctrl-C cancels it, else it leaves. */
export function followRun(
  run: TrainingRun,
  session: Session,
  output: Output,
  { terminal }: Context,
  cancels: boolean,
  onEvent?: (event: RunEvent) => void,
): Promise<Progress> {
  return follow({
    terminal,
    live: output.live,
    name: run.name,
    epochs: run.spec?.epochs ?? 0,
    watch: (afterSequence, signal) => events(session, run.name, afterSequence, signal, output),
    renew: session.renew,
    cancel: cancels ? () => unary(session.training, 'cancelTrainingRun', { name: run.name, etag: '' }) : undefined,
    onEvent,
  });
}

async function* events(
  session: Session,
  name: string,
  afterSequence: number,
  signal: AbortSignal,
  output: Output,
): AsyncGenerator<RunEvent> {
  const responses = serverStream(session.training, 'watchTrainingRun', { name, afterSequence }, { signal });
  for await (const response of responses) {
    output.line(WatchTrainingRunResponse, response);
    if (response.event) yield response.event;
  }
}

/** The specification that the options describe. */
export async function specOf(options: TrainOptions, session: Session): Promise<TrainingSpec> {
  const dataset = options.loop ? await findDataset(session, options.dataset) : undefined;
  return TrainingSpec.fromPartial({
    dataset: resource('datasets', options.dataset),
    architecture: options.architecture,
    activation: options.activation,
    norm: options.norm ?? '',
    denoise: options.denoise,
    objective: options.objective,
    objectiveSettings: options.set ?? {},
    techniques: options.technique ?? {},
    teacher: options.teacher,
    initialModel: options.initial,
    surrogates: [...(options.trainingSurrogate ?? [])],
    optimizer: {
      name: options.optimizer,
      learningRate: options.lr,
      momentum: options.momentum,
      weightDecay: options.weightDecay,
      schedule: options.schedule,
    },
    epochs: options.epochs,
    batchSize: options.batchSize,
    seed: options.seed,
    checkpointEveryEpochs: options.checkpointEvery,
    augmentation: options.augment,
    loop: options.loop
      ? {
          enabled: true,
          feedback: feedbacks[options.feedback],
          cleanTolerance: options.cleanTolerance ?? 0,
          trainingExamples: options.trainingExamples ?? 0,
          exampleShare: options.exampleShare ?? 0,
          patience: options.patience ?? 0,
          plan: planOf(options, dataset, { attacks: LOOP_ATTACKS, part: 'held-out', seed: options.seed }),
        }
      : undefined,
  });
}

function announcement({ trainingRun }: CreateTrainingRunResponse): string {
  if (!trainingRun) return '';
  const { name, spec } = trainingRun;
  return `${name}: ${spec?.objective} on ${spec?.architecture}, ${spec?.dataset}, ${epochsText(spec?.epochs)}, seed ${spec?.seed}\n`;
}
