import {
  CancelEvaluationResponse,
  CancelTrainingRunResponse,
  GetEvaluationResponse,
  GetTrainingRunResponse,
  ListEvaluationsResponse,
  ListTrainingRunsResponse,
} from '@jsigr/proto';
import { unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { checkEnd } from '../follow.ts';
import { integer, resource } from '../options.ts';
import { outputOf } from '../output.ts';
import { withSession } from '../session.ts';
import { followEvaluation } from './evaluate.ts';
import { evaluationsText, evaluationText, runsText, runText } from './text.ts';
import { followRun } from './train.ts';

interface ListOptions extends GlobalOptions {
  readonly evaluations: boolean;
  readonly limit: number;
  readonly page: string;
}

const NAME = 'trainingRuns/ID (or the ID alone) or evaluations/ID';

export const runsCommand: CommandGroup = (context) => {
  const runs = new Command('runs').description('list, show, watch and cancel training runs and evaluations');
  runs
    .command('list')
    .description('the newest first')
    .option('--evaluations', 'evaluations instead of training runs', false)
    .addOption(new Option('--limit <count>', 'how many, 1..1000').argParser(integer(1)).default(50))
    .option('--page <token>', 'go on after the page before', '')
    .addHelpText('after', examples('jsigr runs list', 'jsigr runs list --evaluations --limit 10 -o json'))
    .action(async (_: unknown, command: Command) => list(command.optsWithGlobals<ListOptions>(), context));
  const one = (
    name: string,
    description: string,
    run: (name: string, options: GlobalOptions) => Promise<void>,
  ): void => {
    runs
      .command(name)
      .description(description)
      .argument('<run>', NAME)
      .addHelpText('after', examples(`jsigr runs ${name} trainingRuns/ID`, `jsigr runs ${name} evaluations/ID -o json`))
      .action(async (run_: string, _: unknown, command: Command) =>
        run(resource('trainingRuns', run_), command.optsWithGlobals<GlobalOptions>()),
      );
  };
  one('show', 'everything about a run', (name, options) => show(name, options, context));
  one('watch', 'replay the events of a run and follow it live; Ctrl-C leaves it running', (name, options) =>
    watch(name, options, context),
  );
  one('cancel', 'end a run that is not finished', (name, options) => cancel(name, options, context));
  return runs;
};

async function list({ evaluations, limit, page, ...options }: ListOptions, context: Context): Promise<void> {
  const request = { pageSize: limit, pageToken: page };
  const output = outputOf(options, context);
  const { bold } = context.terminal;
  await withSession(options, context, async (session) => {
    if (evaluations) {
      const response = await unary(session.evaluations, 'listEvaluations', request);
      output.show(ListEvaluationsResponse, response, (all) => evaluationsText(all.evaluations, bold) + more(all));
    } else {
      const response = await unary(session.training, 'listTrainingRuns', request);
      output.show(ListTrainingRunsResponse, response, (all) => runsText(all.trainingRuns, bold) + more(all));
    }
  });
}

async function show(name: string, options: GlobalOptions, context: Context): Promise<void> {
  const output = outputOf(options, context);
  const { bold } = context.terminal;
  await withSession(options, context, async (session) => {
    if (isEvaluation(name)) {
      const response = await unary(session.evaluations, 'getEvaluation', { name });
      output.show(GetEvaluationResponse, response, ({ evaluation }) =>
        evaluation ? evaluationText(evaluation, bold) : '',
      );
    } else {
      const response = await unary(session.training, 'getTrainingRun', { name });
      output.show(GetTrainingRunResponse, response, ({ trainingRun }) => (trainingRun ? runText(trainingRun) : ''));
    }
  });
}

async function watch(name: string, options: GlobalOptions, context: Context): Promise<void> {
  const output = outputOf(options, context);
  await withSession(options, context, async (session) => {
    if (isEvaluation(name)) return checkEnd(name, await followEvaluation(name, session, output, context, false));
    const { trainingRun } = await unary(session.training, 'getTrainingRun', { name });
    if (trainingRun) checkEnd(name, await followRun(trainingRun, session, output, context, false));
  });
}

async function cancel(name: string, options: GlobalOptions, context: Context): Promise<void> {
  const output = outputOf(options, context);
  const { bold } = context.terminal;
  await withSession(options, context, async (session) => {
    if (isEvaluation(name)) {
      const response = await unary(session.evaluations, 'cancelEvaluation', { name, etag: '' });
      output.show(CancelEvaluationResponse, response, ({ evaluation }) =>
        evaluation ? evaluationText(evaluation, bold) : '',
      );
    } else {
      const response = await unary(session.training, 'cancelTrainingRun', { name, etag: '' });
      output.show(CancelTrainingRunResponse, response, ({ trainingRun }) => (trainingRun ? runText(trainingRun) : ''));
    }
  });
}

function isEvaluation(name: string): boolean {
  return name.startsWith('evaluations/');
}

function more({ nextPageToken }: { nextPageToken: string }): string {
  return nextPageToken ? `more: --page ${nextPageToken}\n` : '';
}
