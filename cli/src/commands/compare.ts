import type { Ledger } from '@jsigr/attacks';
import { type RobustnessReport, RunState } from '@jsigr/proto';
import { failedPrecondition, invalidArgument, notFound, unary } from '@jsigr/service/client';
import { Command } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions } from '../context.ts';
import { readEvaluationFile } from '../evaluation-file.ts';
import { resource } from '../options.ts';
import { outputOf } from '../output.ts';
import { type Session, withSession } from '../session.ts';
import { stateName } from '../terminal/format.ts';
import { type Compared, comparisonText, notesOf } from './compare-text.ts';

export const compareCommand: CommandGroup = (context) =>
  new Command('compare')
    .description('two evaluations of the same samples, image by image: which model withstands more, and is that chance')
    .argument('<first>', 'evaluations/ID (or the ID alone) of one that succeeded')
    .argument('<second>', 'another, on the same part of the same dataset')
    .addHelpText(
      'after',
      examples('jsigr compare evaluations/ID evaluations/ID', 'jsigr compare evaluations/ID evaluations/ID -o json'),
    )
    .action(async (first: string, second: string, _: unknown, command: Command) =>
      compare(first, second, command.optsWithGlobals<GlobalOptions>(), context),
    );

async function compare(first: string, second: string, options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const [one, other] = [await finished(session, first), await finished(session, second)];
    for (const field of ['dataset', 'part'] as const)
      if (one.report[field] !== other.report[field])
        throw invalidArgument(
          field,
          `${one.name} is on ${one.report[field]}, ${other.name} on ${other.report[field]}: only evaluations of the same samples can be compared`,
        );
    // Loaded when it is needed, as in `attacks list`.
    const { compareLedgers } = await import('@jsigr/attacks');
    const comparison = compareLedgers(await ledgerOf(session, one), await ledgerOf(session, other));
    const { dataset, part } = one.report;
    const compared: Compared = {
      ...{ first: sideOf(one), second: sideOf(other), dataset, part },
      ...comparison,
      notes: notesOf(one.report, other.report),
    };
    const itself = { toJSON: (message: Compared) => message };
    outputOf(options, context).show(itself, compared, (all) => comparisonText(all, context.terminal.bold));
  });
}

interface Finished {
  readonly name: string;
  readonly report: RobustnessReport;
}

/** @throws JsigrError FAILED_PRECONDITION for one that has no ledger of one model's attempts, NOT_FOUND */
async function finished(session: Session, given: string): Promise<Finished> {
  const wanted = resource('evaluations', given);
  const { evaluation } = await unary(session.evaluations, 'getEvaluation', { name: wanted });
  if (!evaluation) throw notFound('evaluation', wanted);
  const { name, state, transferMatrix, report } = evaluation;
  if (state !== RunState.RUN_STATE_SUCCEEDED)
    throw failedPrecondition(
      'NOT_FINISHED',
      `state: ${name} is ${stateName(state)}; only what succeeded can be compared`,
    );
  if (transferMatrix)
    throw failedPrecondition(
      'NO_LEDGER',
      `models: ${name} is a transfer matrix, which has no ledger of the attempts on one model`,
    );
  if (!report?.ledger) throw failedPrecondition('NO_LEDGER', `report.ledger: ${name} has none`);
  return { name, report };
}

async function ledgerOf(session: Session, { name }: Finished): Promise<Ledger> {
  const { decodeLedger } = await import('@jsigr/attacks');
  const paths = ['manifest.json', 'ledger.safetensors'];
  const files = await Promise.all(
    paths.map(async (path) => [path, await readEvaluationFile(session, name, path)] as const),
  );
  return decodeLedger(Object.fromEntries(files));
}

function sideOf({ name, report: { model, masking } }: Finished): Compared['first'] {
  return { evaluation: name, model, masking };
}
