import { GetModelResponse, ListModelsResponse, ModelFormat } from '@jsigr/proto';
import { invalidArgument, serverStream, unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { checkTarget, saveArtefact, saveStream } from '../files.ts';
import { integer, modelFormats, resource } from '../options.ts';
import { outputOf } from '../output.ts';
import { findModel } from '../resolve.ts';
import { withSession } from '../session.ts';
import { bytes } from '../terminal/format.ts';
import { importCommand } from './models-import.ts';
import { modelsText, modelText } from './text.ts';

interface ListOptions extends GlobalOptions {
  readonly run?: string;
  readonly limit: number;
  readonly page: string;
}

interface ExportOptions extends GlobalOptions {
  readonly format?: string;
  readonly out: string;
}

const MODEL = 'models/DIGEST, the first digits of the digest, or trainingRuns/ID for the best model of a run';

export const modelsCommand: CommandGroup = (context) => {
  const models = new Command('models').description('list, show, export and import models');
  models
    .command('list')
    .description('the newest first')
    .option('--run <name>', 'only the checkpoints of this run')
    .addOption(new Option('--limit <count>', 'how many, 1..1000').argParser(integer(1)).default(50))
    .option('--page <token>', 'go on after the page before', '')
    .addHelpText('after', examples('jsigr models list', 'jsigr models list --run trainingRuns/ID -o json'))
    .action(async (_: unknown, command: Command) => list(command.optsWithGlobals<ListOptions>(), context));
  models
    .command('show')
    .description('what a model is, how it was trained, its files')
    .argument('<model>', MODEL)
    .addHelpText('after', examples('jsigr models show 3f9a1c20be', 'jsigr models show trainingRuns/ID -o json'))
    .action(async (model: string, _: unknown, command: Command) =>
      show(model, command.optsWithGlobals<GlobalOptions>(), context),
    );
  models
    .command('export')
    .description('write a model as one ONNX file, or its checkpoint files byte for byte')
    .argument('<model>', MODEL)
    .addOption(
      new Option('--format <name>', 'another format (default: the checkpoint itself)').choices(
        Object.keys(modelFormats),
      ),
    )
    .requiredOption('--out <path>', 'the file, or for the checkpoint the folder, to write')
    .addHelpText(
      'after',
      examples(
        'jsigr models export 3f9a1c20be --format onnx --out model.onnx',
        'jsigr models export trainingRuns/ID --out checkpoint',
      ),
    )
    .action(async (model: string, _: unknown, command: Command) =>
      exportModel(model, command.optsWithGlobals<ExportOptions>(), context),
    );
  models.addCommand(importCommand(context));
  return models;
};

async function list({ run, limit, page, ...options }: ListOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const trainingRun = run === undefined ? '' : resource('trainingRuns', run);
    const response = await unary(session.models, 'listModels', { pageSize: limit, pageToken: page, trainingRun });
    outputOf(options, context).show(ListModelsResponse, response, ({ models, nextPageToken }) =>
      [modelsText(models, context.terminal.bold), nextPageToken ? `more: --page ${nextPageToken}\n` : ''].join(''),
    );
  });
}

async function show(name: string, options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const model = await findModel(session, name);
    outputOf(options, context).show(GetModelResponse, { model }, () => modelText(model, context.terminal.bold));
  });
}

async function exportModel(name: string, options: ExportOptions, context: Context): Promise<void> {
  const target = pathOf(options.out, context.terminal);
  await checkTarget(target, options.format === undefined);
  await withSession(options, context, async (session) => {
    const model = await findModel(session, name);
    const output = outputOf(options, context);
    if (options.format) {
      const format = modelFormats[options.format] ?? ModelFormat.MODEL_FORMAT_UNSPECIFIED;
      const size = await saveStream(target, serverStream(session.models, 'exportModel', { name: model.name, format }));
      return output.show(GetModelResponse, { model }, () => `${target}  ${bytes(size)}\n`);
    }
    if (model.files.length === 0) throw invalidArgument('model', `${model.name} has no files`);
    for (const file of model.files) {
      const path = await saveArtefact(target, file, (readOffset) =>
        serverStream(session.models, 'readModelFile', { name: model.name, path: file.path, readOffset }),
      );
      output.say(`${path}  ${bytes(file.sizeBytes)}`);
    }
    output.show(GetModelResponse, { model }, () => '');
  });
}
