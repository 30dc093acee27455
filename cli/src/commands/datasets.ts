import { GetDatasetResponse, ImportDatasetResponse, ListDatasetsResponse } from '@jsigr/proto';
import { unary } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { outputOf } from '../output.ts';
import { findDataset } from '../resolve.ts';
import { withSession } from '../session.ts';
import { datasetsText, datasetText } from './text.ts';

interface ImportOptions extends GlobalOptions {
  readonly format: string;
}

export const datasetsCommand: CommandGroup = (context) => {
  const datasets = new Command('datasets').description('list, show and import datasets');
  datasets
    .command('list')
    .description('all datasets, embedded ones included')
    .addHelpText('after', examples('jsigr datasets list', 'jsigr datasets list -o json'))
    .action(async (_: unknown, command: Command) => list(command.optsWithGlobals<GlobalOptions>(), context));
  datasets
    .command('show')
    .description('classes, parts and statistics of a dataset')
    .argument('<dataset>', 'its name')
    .addHelpText('after', examples('jsigr datasets show glyphs', 'jsigr datasets show mnist -o json'))
    .action(async (name: string, _: unknown, command: Command) =>
      show(name, command.optsWithGlobals<GlobalOptions>(), context),
    );
  datasets
    .command('import')
    .description('read a folder on the gateway’s machine once, check it, and keep it under a name')
    .argument('<name>', '1..63 characters of a-z, 0-9 and -, beginning with a letter')
    .argument('<directory>', 'the folder that holds the files')
    .addOption(
      new Option('--format <name>', 'mnist: IDX files; cifar10: binary batches')
        .choices(['mnist', 'cifar10'])
        .makeOptionMandatory(),
    )
    .addHelpText('after', examples('jsigr datasets import mnist --format mnist ./MNIST/raw'))
    .action(async (name: string, directory: string, _: unknown, command: Command) =>
      importDataset(name, directory, command.optsWithGlobals<ImportOptions>(), context),
    );
  return datasets;
};

async function list(options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const response = await unary(session.datasets, 'listDatasets', { pageSize: 1000, pageToken: '' });
    outputOf(options, context).show(ListDatasetsResponse, response, ({ datasets }) =>
      datasetsText(datasets, context.terminal.bold),
    );
  });
}

async function show(name: string, options: GlobalOptions, context: Context): Promise<void> {
  await withSession(options, context, async (session) => {
    const dataset = await findDataset(session, name);
    outputOf(options, context).show(GetDatasetResponse, { dataset }, () => datasetText(dataset, context.terminal.bold));
  });
}

async function importDataset(name: string, folder: string, options: ImportOptions, context: Context): Promise<void> {
  // With --server the folder is on another machine: its path is taken as it is.
  const directory = options.server ? folder : pathOf(folder, context.terminal);
  const request = { datasetId: name.replace(/^datasets\//, ''), format: options.format, directory };
  await withSession(options, context, async (session) => {
    const response = await unary(session.datasets, 'importDataset', request);
    outputOf(options, context).show(ImportDatasetResponse, response, ({ dataset }) =>
      dataset ? datasetText(dataset, context.terminal.bold) : '',
    );
  });
}
