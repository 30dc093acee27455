import {
  type Certification,
  CreateEvaluationResponse,
  type Dataset,
  type Evaluation,
  type EvaluationSpec,
  GetEvaluationResponse,
  type Model,
  type RunEvent,
  WatchEvaluationResponse,
} from '@jsigr/proto';
import { invalidArgument, notFound, serverStream, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { exportAdversarial, nearestMisses, readAdversarial } from '../adversarial.ts';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { checkTarget, once, saveStream } from '../files.ts';
import { checkEnd, follow } from '../follow.ts';
import { certification, integer, resource } from '../options.ts';
import { fleeting, type Output, outputOf } from '../output.ts';
import { type PlanOptions, planOf, withPlanOptions, withProfileOption } from '../plan.ts';
import { renderEvaluation } from '../report/evaluation-page.ts';
import { findDataset, findModel } from '../resolve.ts';
import { type Session, withSession } from '../session.ts';
import type { Progress } from '../terminal/progress.ts';
import { version } from '../version.ts';
import { evaluationText } from './text.ts';

interface EvaluateOptions extends GlobalOptions, PlanOptions {
  readonly dataset?: string;
  readonly part: string;
  readonly seed: number;
  readonly shards: number;
  readonly report?: string;
  readonly export?: string;
  readonly maxQueries: number;
  readonly resume?: string;
  readonly smallestEpsilons: number;
  readonly certify?: Certification;
}

/** Pictures in a report, and images that they are chosen from: several attacks turn the same sample. */
const SHOWN = 12;
const CHOICE = 256;
/** More than there are. */
const ALL = 0xffff_ffff;

const ATTACKS: readonly string[] = ['noise', 'fgsm', 'pgd', 'mi-fgsm'];

export const evaluateCommand: CommandGroup = (context) =>
  withProfileOption(
    withPlanOptions(
      new Command('evaluate')
        .description('attack a model and say with intervals what is left of its accuracy')
        .argument(
          '<model>',
          'models/DIGEST, the first digits of the digest, or trainingRuns/ID for the best model of a run',
        )
        .option('--dataset <name>', 'what to attack it on (default: what it was trained on)')
        .addOption(new Option('--part <name>', 'part of the dataset').choices(['test', 'held-out']).default('test'))
        .addOption(new Option('--seed <number>', 'seed of the attacks, 0..4294967295').argParser(integer(0)).default(0))
        .addOption(
          new Option(
            '--shards <number>',
            'attackers that share the samples, 1..64; the result is that of one, but a report has no pictures',
          )
            .argParser(integer(1))
            .default(1),
        )
        .addOption(
          new Option('--max-queries <count>', 'images that a live endpoint is asked about at most')
            .argParser(integer(1))
            .default(0, '100000'),
        )
        .addOption(
          new Option(
            '--smallest-epsilons <count>',
            'also find the smallest radius at which each attack turns a sample, on so many samples',
          )
            .argParser(integer(1))
            .default(0, 'none'),
        )
        .addOption(
          new Option(
            '--certify <plan>',
            'SIGMA[:key=value,...]: also certify the model smoothed with Gaussian noise; samples (100), draws (10000), alpha (0.001)',
          ).argParser(certification),
        )
        .option('--resume <ledger>', 'go on from the ledger of the same evaluation that failed, by its digest')
        .option('--report <file.html>', 'write a page: verdict, curves, every attack, the nearest misses, what it cost')
        .option(
          '--export <folder>',
          'write the adversarial images: PNG in 8 bits (with what still fools the model then), and safetensors',
        ),
      1000,
    ),
  )
    .addHelpText(
      'after',
      examples(
        'jsigr evaluate trainingRuns/ID',
        'jsigr evaluate trainingRuns/ID --profile autoattack --epsilon 8/255 --samples 200',
        'jsigr evaluate trainingRuns/ID --profile autoattack --max-forwards 500000',
        'jsigr evaluate trainingRuns/ID --attack pgd:0.3 --smallest-epsilons 200 --certify 0.25:samples=200',
        'jsigr evaluate 3f9a1c20be --attack pgd:8/255:steps=40,restarts=5 --samples 0',
        'jsigr evaluate trainingRuns/ID --attack pgd:0.1,0.2,0.3 --report report.html --export adversarial',
        'jsigr evaluate 3f9a1c20be --epsilon 0.1,0.2,0.3 --surrogate 77aa01c9d2 -o json',
      ),
    )
    .action(async (model: string, _: unknown, command: Command) =>
      evaluate(model, command.optsWithGlobals<EvaluateOptions>(), context),
    );

async function evaluate(name: string, options: EvaluateOptions, context: Context): Promise<void> {
  if (options.report) await checkTarget(pathOf(options.report, context.terminal));
  if (options.export) await checkTarget(pathOf(options.export, context.terminal), true);
  await withSession(options, context, async (session) => {
    const output = outputOf(options, context);
    const model = await findModel(session, name);
    const wanted = options.dataset ?? model.dataset;
    if (!wanted) throw invalidArgument('--dataset', `${model.name} was imported and names no dataset: say which one`);
    const dataset = await findDataset(session, wanted);
    const plan = {
      ...planOf(withDefaults(options, model), dataset, { attacks: ATTACKS, part: options.part, seed: options.seed }),
      maxQueries: options.maxQueries,
      resumeLedger: options.resume ?? '',
      smallestEpsilons: options.smallestEpsilons,
      certification: options.certify,
      keepAdversarial: kept(options),
    };
    const { evaluation, end } = await runEvaluation(
      {
        model: model.name,
        dataset: options.dataset ? resource('datasets', options.dataset) : '',
        plan,
        models: [],
        shards: options.shards,
      },
      session,
      fleeting(output), // the table below says it all
      context,
    );
    output.line(GetEvaluationResponse, { evaluation });
    checkEnd(evaluation.name, end);
    output.say(`\n${evaluationText(evaluation, context.terminal.bold).trimEnd()}`);
    await write(evaluation, { model, dataset, options }, session, output, context);
  });
}

/** How many adversarial images are kept, for the files that were asked for; shards keep none. */
function kept({ export: folder, report, shards }: EvaluateOptions): number {
  if (folder) return ALL;
  return report && shards === 1 ? CHOICE : 0;
}

/** A model that can only be asked has a profile of its own. */
function withDefaults(options: EvaluateOptions, { blackBox }: Model): EvaluateOptions {
  return blackBox && !options.attack && !options.profile ? { ...options, profile: 'black-box' } : options;
}

interface Subject {
  readonly model: Model;
  readonly dataset: Dataset;
  readonly options: EvaluateOptions;
}

/** The files that were asked for. */
async function write(
  evaluation: Evaluation,
  { model, dataset, options }: Subject,
  session: Session,
  output: Output,
  { terminal }: Context,
): Promise<void> {
  const { report } = evaluation;
  if (!report || !(options.report || options.export)) return;
  const adversarial = kept(options) > 0 ? await readAdversarial(session, evaluation) : undefined;
  if (options.report) {
    const path = pathOf(options.report, terminal);
    const page = renderEvaluation({
      evaluation,
      report,
      model: model.displayName || model.architecture,
      classNames: dataset.classNames,
      nearest: nearestMisses(adversarial?.all ?? [], SHOWN),
      input: adversarial?.input ?? dataset.input,
      createTime: new Date(),
      version,
    });
    await saveStream(path, once(Buffer.from(page)));
    output.say(`report     ${path}`);
  }
  if (options.export && adversarial) {
    const path = pathOf(options.export, terminal);
    const names = { evaluation: evaluation.name, model: report.model };
    const { images, survived } = await exportAdversarial(path, adversarial, names);
    output.say(`images     ${path}: ${images} fool the model, ${survived} of them still do in 8 bits`);
  }
}

/** Starts an evaluation and follows it to its end; the first Ctrl-C cancels it. */
export async function runEvaluation(
  spec: EvaluationSpec,
  session: Session,
  output: Output,
  context: Context,
): Promise<{ readonly evaluation: Evaluation; readonly end: Progress }> {
  const created = await unary(session.evaluations, 'createEvaluation', { spec, requestId: '', labels: {} });
  const name = created.evaluation?.name ?? '';
  output.line(CreateEvaluationResponse, created);
  const end = await followEvaluation(name, session, output, context, true);
  const { evaluation } = await unary(session.evaluations, 'getEvaluation', { name });
  if (!evaluation) throw notFound('evaluation', name);
  return { evaluation, end };
}

export function followEvaluation(
  name: string,
  session: Session,
  output: Output,
  { terminal }: Context,
  cancels: boolean,
): Promise<Progress> {
  return follow({
    terminal,
    live: output.live,
    name,
    epochs: 0,
    watch: (afterSequence, signal) => events(session, name, afterSequence, signal, output),
    renew: session.renew,
    cancel: cancels ? () => unary(session.evaluations, 'cancelEvaluation', { name, etag: '' }) : undefined,
  });
}

async function* events(
  session: Session,
  name: string,
  afterSequence: number,
  signal: AbortSignal,
  output: Output,
): AsyncGenerator<RunEvent> {
  const responses = serverStream(session.evaluations, 'watchEvaluation', { name, afterSequence }, { signal });
  for await (const response of responses) {
    output.line(WatchEvaluationResponse, response);
    if (response.event) yield response.event;
  }
}
