import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import {
  CreateTrainingRunResponse,
  EvaluationSpec,
  GetEvaluationResponse,
  GetTrainingRunResponse,
  type RobustnessReport,
  type RunEvent,
  RunState,
  type TrainingRun,
  TrainingSpec,
} from '@jsigr/proto';
import { invalidArgument, JsigrError, notFound, unary } from '@jsigr/service/client';
import { Command } from 'commander';
import { type CommandGroup, type Context, examples, type GlobalOptions, pathOf } from '../context.ts';
import { secondsPerEpoch } from '../demo/train-models.ts';
import { checkTarget, fromFileError, once, saveStream } from '../files.ts';
import { checkEnd } from '../follow.ts';
import { fleeting, type Output, outputOf } from '../output.ts';
import { type Session, withSession } from '../session.ts';
import { groupsOf } from '../sweep/groups.ts';
import type { SweepRun } from '../sweep/matrix.ts';
import { paretoPlot } from '../sweep/pareto-plot.ts';
import { type SweepResult, summaryText } from '../sweep/summary.ts';
import { readSweep, type SweepFile } from '../sweep/sweep-file.ts';
import { isFinal, stateName } from '../terminal/format.ts';
import { type Paint, table } from '../terminal/table.ts';
import { followEvaluation } from './evaluate.ts';
import { followRun } from './train.ts';

interface SweepOptions extends GlobalOptions {
  readonly file: string;
  readonly dryRun: boolean;
  readonly plot?: string;
}

const FILE = `
The file (YAML or JSON):
  training:                    what all runs share, with the contract's names
    dataset: glyphs
    epochs: 4
  matrix:                      every combination is a run; a mapping is merged into it
    objective:
      - standard
      - { objective: jsigr, objectiveSettings: { gradientWeight: 5 } }
    architecture: [mlp, smallcnn]
    seed: [1, 2]
  evaluation:                  attacks on every finished model; leave it out to train only
    attacks: [pgd:0.1:steps=20, mi-fgsm:0.1]
    samples: 200
    maxForwards: 500000        of each; maxBackwards and maxSeconds too`;

export const sweepCommand: CommandGroup = (context) =>
  new Command('sweep')
    .description('train (and attack) every combination of a matrix of settings, and compare them in a table')
    .requiredOption('-f, --file <path>', 'what to run')
    .option('--plot <file.svg>', 'draw clean accuracy, robust accuracy and cost of what was attacked')
    .option('--dry-run', 'only say which runs there would be', false)
    .addHelpText('after', FILE)
    .addHelpText(
      'after',
      examples('jsigr sweep -f sweep.yaml --dry-run', 'jsigr sweep -f sweep.yaml --plot pareto.svg'),
    )
    .action(async (_: unknown, command: Command) => sweep(command.optsWithGlobals<SweepOptions>(), context));

async function sweep(options: SweepOptions, context: Context): Promise<void> {
  const path = pathOf(options.file, context.terminal);
  const file = readSweep(await readFile(path, 'utf8').catch((error) => Promise.reject(fromFileError(error, path))));
  if (options.plot && !file.plan)
    throw invalidArgument('--plot', 'needs attacks: the file has no `evaluation`, so that there is nothing to draw');
  if (options.dryRun) {
    outputOf(options, context).show(PLANNED, file, () => plannedText(file, context.terminal.bold));
    return;
  }
  if (options.plot) await checkTarget(pathOf(options.plot, context.terminal));
  await withSession(options, context, async (session) => {
    const output = outputOf(options, context);
    const results = await perform(file, session, output, context);
    output.say(`\n${summaryText(file.axes, results, context.terminal.bold).trimEnd()}`);
    if (options.plot) await savePlot(pathOf(options.plot, context.terminal), file.axes, results, output);
    checkAll(results);
  });
}

/** What --dry-run says. */
const PLANNED = {
  toJSON: ({ axes, runs }: SweepFile) => ({
    axes,
    runs: runs.map(({ values, spec }) => ({ values, spec: TrainingSpec.toJSON(spec) })),
  }),
};

function plannedText({ axes, runs }: SweepFile, paint?: Paint): string {
  const titles = axes.map((axis) => ({ title: axis.toUpperCase() }));
  const rows = runs.map(({ values }) => values);
  return `${table(titles, rows, paint)}${runs.length} runs\n`;
}

/** @throws JsigrError if a training or an evaluation did not succeed */
function checkAll(results: readonly SweepResult[]): void {
  const runs = results.filter(({ run }) => run.state !== RunState.RUN_STATE_SUCCEEDED).length;
  const evaluations = results.filter(({ evaluationFailed }) => evaluationFailed).length;
  if (runs + evaluations === 0) return;
  throw new JsigrError({
    code: status.UNKNOWN,
    reason: 'RUNS_FAILED',
    message: [
      ...(runs > 0 ? [`${runs} of ${results.length} runs did not succeed`] : []),
      ...(evaluations > 0 ? [`${evaluations} of ${results.length} models could not be attacked`] : []),
    ].join(', '),
    hint: 'the same command again makes only those anew; `jsigr runs list` names them',
  });
}

async function savePlot(
  path: string,
  axes: readonly string[],
  results: readonly SweepResult[],
  output: Output,
): Promise<void> {
  const svg = paretoPlot(groupsOf(axes, results), 'Sweep: clean accuracy, robust accuracy and seconds an epoch');
  await saveStream(path, once(Buffer.from(svg)));
  output.say(`plot: ${path}`);
}

/** All runs are handed over first: the gateway trains as many at once as its machine allows. Then each is followed, and attacked. */
async function perform(file: SweepFile, session: Session, output: Output, context: Context): Promise<SweepResult[]> {
  const created = await createAll(file.runs, session, output);
  const results: SweepResult[] = [];
  for (const [i, { values, recipe }] of file.runs.entries()) {
    const run = created[i];
    if (!run) continue;
    const events: RunEvent[] = [];
    const end = await followRun(run, session, fleeting(output), context, false, (event) => events.push(event));
    if (!isFinal(end.state)) checkEnd(run.name, end);
    const { trainingRun: after = run } = await unary(session.training, 'getTrainingRun', { name: run.name });
    output.line(GetTrainingRunResponse, { trainingRun: after });
    const { report, failed } = await reportOn(after, file, session, output, context);
    const outcome = `${stateName(after.state)} ${after.stateReason}`.trimEnd();
    output.say(`${i + 1}/${file.runs.length} ${values.join(' ')}: ${failed ? `${outcome}; ${failed}` : outcome}`);
    results.push({
      values,
      recipe,
      run: after,
      report,
      evaluationFailed: failed !== undefined,
      secondsPerEpoch: secondsPerEpoch(events),
      heldOutAccuracy: heldOutAccuracy(events),
    });
  }
  return results;
}

/** Either all runs are accepted or none stays: what is wrong with one is said before any training has got far. */
async function createAll(runs: readonly SweepRun[], session: Session, output: Output): Promise<TrainingRun[]> {
  const created: TrainingRun[] = [];
  const before = await newestTime(session);
  for (const [i, run] of runs.entries()) {
    try {
      const response = await trainingOf(run, session);
      output.line(CreateTrainingRunResponse, response);
      if (response.trainingRun) created.push(response.trainingRun);
    } catch (caught) {
      // What an earlier sweep of the same file had queued stays.
      const queued = created.filter(
        ({ state, createTime }) => state === RunState.RUN_STATE_QUEUED && createTime && createTime.getTime() > before,
      );
      for (const { name } of queued)
        await unary(session.training, 'cancelTrainingRun', { name, etag: '' }).catch(() => undefined); // it may have ended by itself
      const { code, reason, message, violations, hint } = JsigrError.from(caught);
      const where = `run ${i + 1} of ${runs.length} (${run.values.join(' ')}): ${message}`;
      throw new JsigrError({ code, reason, message: where, violations, ...(hint ? { hint } : {}), cause: caught });
    }
  }
  return created;
}

const GONE: readonly RunState[] = [RunState.RUN_STATE_FAILED, RunState.RUN_STATE_CANCELLED];
const MOST_ATTEMPTS = 100;

/** When the newest run was created, by the gateway's clock: what this sweep makes is younger. */
async function newestTime(session: Session): Promise<number> {
  const { trainingRuns } = await unary(session.training, 'listTrainingRuns', { pageSize: 1, pageToken: '' });
  return trainingRuns[0]?.createTime?.getTime() ?? Number.NEGATIVE_INFINITY;
}

/** What the same sweep made before; where that failed or was cancelled, another one. */
async function createOrFind<Made>(
  requestId: string,
  create: (requestId: string) => Promise<Made>,
  stateOf: (made: Made) => RunState | undefined,
): Promise<Made> {
  for (let attempt = 1; ; attempt++) {
    const made = await create(attempt === 1 ? requestId : `${requestId}-${attempt}`);
    const state = stateOf(made);
    if (attempt >= MOST_ATTEMPTS || state === undefined || !GONE.includes(state)) return made;
  }
}

function trainingOf(
  { values, spec, requestId: first }: SweepRun,
  session: Session,
): Promise<CreateTrainingRunResponse> {
  const displayName = `sweep: ${values.join(' ')}`.slice(0, 100);
  return createOrFind(
    first,
    (requestId) => unary(session.training, 'createTrainingRun', { spec, displayName, requestId, labels: {} }),
    ({ trainingRun }) => trainingRun?.state,
  );
}

/** What came of attacking a model; neither where there was nothing to attack. */
interface Attacked {
  readonly report?: RobustnessReport | undefined;
  /** Why there is none. */
  readonly failed?: string;
}

async function reportOn(
  run: TrainingRun,
  { plan }: SweepFile,
  session: Session,
  output: Output,
  context: Context,
): Promise<Attacked> {
  const model = run.bestModel || run.latestModel;
  if (!plan || run.state !== RunState.RUN_STATE_SUCCEEDED || !model) return {};
  const spec = { model, dataset: '', plan, models: [], shards: 1 };
  const text = JSON.stringify(EvaluationSpec.toJSON(spec));
  const created = await createOrFind(
    `sweep-${createHash('sha256').update(text).digest('hex').slice(0, 32)}`,
    (requestId) => unary(session.evaluations, 'createEvaluation', { spec, requestId, labels: {} }),
    ({ evaluation }) => evaluation?.state,
  );
  const name = created.evaluation?.name ?? '';
  const end = await followEvaluation(name, session, fleeting(output), context, false);
  if (!isFinal(end.state)) checkEnd(name, end);
  const { evaluation } = await unary(session.evaluations, 'getEvaluation', { name });
  if (!evaluation) throw notFound('evaluation', name);
  output.line(GetEvaluationResponse, { evaluation });
  if (end.state === RunState.RUN_STATE_SUCCEEDED) return { report: evaluation.report };
  return { failed: `${name} ${stateName(end.state)} ${end.reason}`.trimEnd() };
}

function heldOutAccuracy(events: readonly RunEvent[]): number | undefined {
  return events
    .flatMap(({ payload }) => (payload?.$case === 'checkpointSaved' ? [payload.value.heldOutAccuracy] : []))
    .at(-1);
}
