import { createReadStream, existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { type ImportModelRequest, ImportModelResponse, ModelDescription } from '@jsigr/proto';
import { invalidArgument, upload } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { fromFileError, within } from '../files.ts';
import { imageShape, integer, number, numbers } from '../options.ts';
import { outputOf } from '../output.ts';
import { type Session, withSession } from '../session.ts';
import { modelText } from './text.ts';

interface ImportOptions extends GlobalOptions {
  readonly name?: string;
  readonly input?: number[];
  readonly layout?: string;
  readonly mean: number[];
  readonly deviation: number[];
  readonly labels?: string;
  readonly scores?: string;
  readonly requestsPerSecond: number;
  readonly timeout: number;
  readonly batch: number;
}

/** A file of a model: where it lies here, and what it is called there. */
interface ModelFile {
  readonly source: string;
  readonly path: string;
}

const CHUNK_BYTES = 256 * 1024;

export function importCommand(context: Context): Command {
  return new Command('import')
    .description(
      'take somebody else’s model: an ONNX file, the folder of a TensorFlow.js LayersModel, or a live endpoint',
    )
    .argument(
      '<path>',
      'model.onnx, with model.onnx.data beside it if its weights lie there; a folder with model.json and its weight files; or an address of the Open Inference Protocol: http://HOST:PORT/v2/models/NAME, grpc://HOST:PORT/NAME',
    )
    .option('--name <name>', 'for people (default: the name of the file)')
    .addOption(new Option('--input <HxWxC>', 'size of its images, where the file leaves it open').argParser(imageShape))
    .addOption(
      new Option('--layout <order>', 'order of their axes, where the shape does not tell').choices(['NCHW', 'NHWC']),
    )
    .option('--scores <name>', 'which output of an ONNX file gives the scores (default: the first)')
    .addOption(
      new Option(
        '--mean <numbers>',
        'subtracted from images in [0,1], one or one for each channel; for a model that expects it done',
      )
        .argParser(numbers)
        .default([], '0'),
    )
    .addOption(
      new Option('--deviation <numbers>', 'divides the difference; 1/255 for a model of pixels from 0 to 255')
        .argParser(numbers)
        .default([], '1'),
    )
    .option('--labels <names>', 'names of its classes, separated by commas')
    .addOption(
      new Option('--requests-per-second <number>', 'an endpoint is asked at most so often')
        .argParser(number)
        .default(10),
    )
    .addOption(
      new Option('--timeout <seconds>', 'of one request to an endpoint; what fails in passing is tried again')
        .argParser(number)
        .default(10),
    )
    .addOption(
      new Option('--batch <count>', 'images in one request to an endpoint, at most').argParser(integer(1)).default(32),
    )
    .addHelpText(
      'after',
      examples(
        'jsigr models import resnet.onnx --mean 0.485,0.456,0.406 --deviation 0.229,0.224,0.225',
        'jsigr models import ./keras-model --deviation 1/255',
        'jsigr models import grpc://models.example:8001/resnet --requests-per-second 5',
        'jsigr evaluate DIGEST --dataset cifar10 --attack pgd',
      ),
    )
    .action(async (path: string, _: unknown, command: Command) =>
      importModel(path, command.optsWithGlobals<ImportOptions>(), context),
    );
}

async function importModel(path: string, options: ImportOptions, context: Context): Promise<void> {
  const isEndpoint = /^(https?|grpcs?):\/\//.test(path);
  const source = pathOf(path, context.terminal);
  const description = ModelDescription.fromPartial({
    displayName: options.name ?? (isEndpoint ? basename(path) : basename(source, extname(source))),
    input: options.input ?? [],
    layout: options.layout ?? '',
    output: options.scores ?? '',
    mean: options.mean,
    deviation: options.deviation,
    classNames: options.labels?.split(',').map((label) => label.trim()) ?? [],
    ...(isEndpoint && {
      endpoint: {
        url: path,
        requestsPerSecond: options.requestsPerSecond,
        timeoutMs: Math.round(1000 * options.timeout),
        batch: options.batch,
      },
    }),
  });
  await withSession(options, context, async (session) => {
    const response = isEndpoint
      ? await upload(session.models, 'importModel', messages(description, []))
      : await uploadModel(source, description, session);
    outputOf(options, context).show(ImportModelResponse, response, ({ model }) =>
      model ? modelText(model, context.terminal.bold) : '',
    );
  });
}

/** Imports an ONNX file with its weights, or the folder of a LayersModel, as it is described. */
export async function uploadModel(
  source: string,
  description: ModelDescription,
  session: Session,
): Promise<ImportModelResponse> {
  const files = await filesOf(source);
  const sizes = await Promise.all(files.map(({ source: file }) => sizeOf(file)));
  const announced = files.map(({ path, source: _ }, i) => ({ path, sizeBytes: sizes[i] ?? 0 }));
  return upload(session.models, 'importModel', messages({ ...description, files: announced }, files));
}

async function* messages(
  description: ModelDescription,
  files: readonly ModelFile[],
): AsyncGenerator<ImportModelRequest> {
  yield { message: { $case: 'description', value: description } };
  for (const { source, path } of files) {
    try {
      for await (const data of createReadStream(source, { highWaterMark: CHUNK_BYTES }))
        yield { message: { $case: 'chunk', value: { path, data } } };
    } catch (error) {
      throw fromFileError(error, source);
    }
  }
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    (error: unknown) => {
      throw fromFileError(error, file);
    },
  );
}

/** What exporters append to the name of an ONNX file for the one that holds its weights: PyTorch's, Hugging Face's. */
const WEIGHTS = ['.data', '_data'];

/** An ONNX file, and its weights if they lie beside it; a LayersModel is model.json and the files that it names. */
async function filesOf(source: string): Promise<ModelFile[]> {
  const isFolder = await stat(source).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      throw fromFileError(error, source);
    },
  );
  const topology = isFolder ? join(source, 'model.json') : source;
  if (extname(topology) !== '.json') {
    const weights = WEIGHTS.map((end) => `${source}${end}`).filter((file) => existsSync(file));
    return [{ source, path: 'model.onnx' }, ...weights.map((file) => ({ source: file, path: basename(file) }))];
  }
  const text = await readFile(topology, 'utf8').catch((error: unknown) => {
    throw fromFileError(error, topology);
  });
  const weights = weightPaths(text, topology).map((path) => ({ source: join(dirname(topology), within(path)), path }));
  return [{ source: topology, path: 'model.json' }, ...weights];
}

function weightPaths(text: string, source: string): string[] {
  try {
    const { weightsManifest } = JSON.parse(text) as {
      weightsManifest: readonly { readonly paths: readonly string[] }[];
    };
    return weightsManifest.flatMap(({ paths }) => paths.map(String));
  } catch {
    throw invalidArgument('path', `${source} is not the model.json of a LayersModel: it names no weight files`);
  }
}
