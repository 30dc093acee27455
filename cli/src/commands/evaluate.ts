import {
  CreateEvaluationResponse,
  type Evaluation,
  type EvaluationSpec,
  GetEvaluationResponse,
  type RunEvent,
  WatchEvaluationResponse,
} from '@jsigr/proto';
import { invalidArgument, notFound, serverStream, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { checkEnd, follow } from '../follow.ts';
import { integer, resource } from '../options.ts';
import { fleeting, type Output, outputOf } from '../output.ts';
import { type PlanOptions, planOf, withPlanOptions, withProfileOption } from '../plan.ts';
import { findDataset, findModel } from '../resolve.ts';
import { type Session, withSession } from '../session.ts';
import type { Progress } from '../terminal/progress.ts';
import { evaluationText } from './text.ts';

interface EvaluateOptions extends GlobalOptions, PlanOptions {
  readonly dataset?: string;
  readonly part: string;
  readonly seed: number;
}

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
        .addOption(
          new Option('--seed <number>', 'seed of the attacks, 0..4294967295').argParser(integer(0)).default(0),
        ),
      1000,
    ),
  )
    .addHelpText(
      'after',
      examples(
        'jsigr evaluate trainingRuns/ID',
        'jsigr evaluate trainingRuns/ID --profile autoattack --epsilon 8/255 --samples 200',
        'jsigr evaluate 3f9a1c20be --attack pgd:8/255:steps=40,restarts=5 --samples 0',
        'jsigr evaluate 3f9a1c20be --epsilon 0.1,0.2,0.3 --surrogate 77aa01c9d2 -o json',
      ),
    )
    .action(async (model: string, _: unknown, command: Command) =>
      evaluate(model, command.optsWithGlobals<EvaluateOptions>(), context),
    );

async function evaluate(name: string, options: EvaluateOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const output = outputOf(options, context);
    const model = await findModel(session, name);
    const wanted = options.dataset ?? model.dataset;
    if (!wanted) throw invalidArgument('--dataset', `${model.name} was imported and names no dataset: say which one`);
    const dataset = await findDataset(session, wanted);
    const plan = planOf(options, dataset, { attacks: ATTACKS, part: options.part, seed: options.seed });
    const { evaluation, end } = await runEvaluation(
      { model: model.name, dataset: options.dataset ? resource('datasets', options.dataset) : '', plan },
      session,
      fleeting(output), // the table below says it all
      context,
    );
    output.line(GetEvaluationResponse, { evaluation });
    checkEnd(evaluation.name, end);
    output.say(`\n${evaluationText(evaluation, context.terminal.bold).trimEnd()}`);
  });
}

/** Starts an evaluation and follows it to its end; the first Ctrl-C cancels it. */
export async function runEvaluation(
  spec: EvaluationSpec,
  session: Session,
  output: Output,
  context: Context,
): Promise<{ readonly evaluation: Evaluation; readonly end: Progress }> {
  const created = await unary(session.evaluations, 'createEvaluation', { spec, requestId: '' });
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
    cancel: cancels ? () => unary(session.evaluations, 'cancelEvaluation', { name }) : undefined,
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
