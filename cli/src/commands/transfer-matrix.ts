import { basename, extname } from 'node:path';
import { type Dataset, EvaluationPlan, GetEvaluationResponse, type Model, ModelDescription } from '@jsigr/proto';
import { failedPrecondition, invalidArgument } from '@jsigr/service/client';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { checkTarget, once, saveStream } from '../files.ts';
import { checkEnd } from '../follow.ts';
import { attack, integer, numbers, repeated, resource } from '../options.ts';
import { fleeting, outputOf } from '../output.ts';
import { usualEpsilons } from '../plan.ts';
import { renderMatrix } from '../report/matrix-page.ts';
import { findDataset, findModel } from '../resolve.ts';
import { type Session, withSession } from '../session.ts';
import { version } from '../version.ts';
import { runEvaluation } from './evaluate.ts';
import { labelsOf, matrixText } from './matrix-text.ts';
import { uploadModel } from './models-import.ts';

interface MatrixOptions extends GlobalOptions {
  readonly attack?: EvaluationPlan['attacks'];
  readonly dataset?: string;
  readonly epsilon?: readonly number[];
  readonly samples: number;
  readonly seed: number;
  readonly report?: string;
}

export const transferMatrixCommand: CommandGroup = (context) =>
  new Command('transfer-matrix')
    .description('show every model’s adversarial examples to every other, and say how many each gets wrong')
    .argument(
      '<models...>',
      '2 to 16: models/DIGEST, the first digits of a digest, trainingRuns/ID for the best model of a run, or an ONNX file',
    )
    .option('--dataset <name>', 'whose test part (default: what the first model was trained on)')
    .addOption(
      new Option(
        '--attack <plan>',
        'NAME[@NORM][:EPSILONS][:key=value,...]; repeat for more (default: noise as control, and mi-fgsm)',
      ).argParser(repeated(attack)),
    )
    .addOption(
      new Option(
        '--epsilon <list>',
        'radii for attacks that name none, e.g. 0.1,0.2 or 8/255 (default: the smallest usual one)',
      ).argParser(numbers),
    )
    .addOption(
      new Option('--samples <count>', 'samples, from the start of the test part; 0: all')
        .argParser(integer(0))
        .default(1000),
    )
    .addOption(new Option('--seed <number>', 'seed of the attacks, 0..4294967295').argParser(integer(0)).default(0))
    .option('--report <file.html>', 'write a page with heat maps')
    .addHelpText(
      'after',
      examples(
        'jsigr transfer-matrix 3f9a1c20be 77aa01c9d2 trainingRuns/ID --epsilon 8/255',
        'jsigr transfer-matrix 3f9a1c20be resnet.onnx --dataset cifar10 --attack transfer:8/255:recipe=mi+di+ti',
        'jsigr transfer-matrix 3f9a1c20be 77aa01c9d2 --report matrix.html -o json',
      ),
    )
    .action(async (models: readonly string[], _: unknown, command: Command) =>
      transferMatrix(models, command.optsWithGlobals<MatrixOptions>(), context),
    );

async function transferMatrix(names: readonly string[], options: MatrixOptions, context: Context): Promise<void> {
  const { terminal } = context;
  if (options.report) await checkTarget(pathOf(options.report, terminal));
  await withSession(options, context, async (session) => {
    const output = outputOf(options, context);
    const models: Model[] = [];
    for (const name of names) models.push(await modelOf(name, session, context));
    const wanted = options.dataset ?? models.find(({ dataset }) => dataset)?.dataset;
    if (!wanted) throw invalidArgument('--dataset', 'no model names one: all were imported; say which one');
    const dataset = await findDataset(session, wanted);
    const spec = {
      model: '',
      dataset: options.dataset ? resource('datasets', options.dataset) : '',
      plan: planOf(options, dataset),
      models: models.map(({ name }) => name),
      shards: 1,
    };
    const { evaluation, end } = await runEvaluation(spec, session, fleeting(output), context);
    output.line(GetEvaluationResponse, { evaluation });
    checkEnd(evaluation.name, end);
    const { transferMatrix: matrix } = evaluation;
    if (!matrix) throw failedPrecondition('NO_MATRIX', `${evaluation.name} succeeded without a matrix`);
    output.say(`\n${matrixText(evaluation, matrix, labelsOf(models), terminal.bold).trimEnd()}`);
    if (!options.report) return;
    const path = pathOf(options.report, terminal);
    const page = renderMatrix({ evaluation, matrix, labels: labelsOf(models), createTime: new Date(), version });
    await saveStream(path, once(Buffer.from(page)));
    output.say(`report       ${path}`);
  });
}

/** A model of the gateway; an ONNX file is imported first (one that needs a normalization: `jsigr models import`). */
async function modelOf(name: string, session: Session, { terminal }: Context): Promise<Model> {
  if (extname(name) !== '.onnx') return findModel(session, name);
  const description = ModelDescription.fromPartial({ displayName: basename(name, '.onnx') });
  const { model } = await uploadModel(pathOf(name, terminal), description, session);
  if (!model) throw failedPrecondition('NO_MODEL', `${name} was not imported`);
  return model;
}

function planOf({ attack: named, epsilon, samples, seed }: MatrixOptions, dataset: Dataset): EvaluationPlan {
  const epsilons = epsilon ?? usualEpsilons(dataset.input[2] ?? 1).slice(0, 1);
  const attacks = named ?? [attack('noise'), attack('mi-fgsm')];
  return EvaluationPlan.fromPartial({
    attacks: attacks.map((one) => ({ ...one, epsilons: one.epsilons.length > 0 ? one.epsilons : [...epsilons] })),
    samples,
    part: 'test',
    seed,
  });
}
