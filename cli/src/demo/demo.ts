import { arch, cpus, platform } from 'node:os';
import { EvaluationPlan, type RobustnessReport } from '@jsigr/proto';
import { runEvaluation } from '../commands/evaluate.ts';
import type { Context } from '../context.ts';
import { checkEnd } from '../follow.ts';
import type { Output } from '../output.ts';
import type { ReportData, ReportedModel } from '../report/data.ts';
import { findDataset } from '../resolve.ts';
import type { Session } from '../session.ts';
import { count, decimal, epochsText } from '../terminal/format.ts';
import { bounded } from './bounded.ts';
import { readTestPart } from './dataset-part.ts';
import { maskAreaOf, methodGrid, relevanceOf, sampleGrid, turnedExamples } from './explanations.ts';
import {
  ARCHITECTURE,
  DATASET,
  type DemoModel,
  type DemoPlan,
  EPSILON,
  EPSILONS,
  KEPT_EXAMPLES,
  METHOD,
  METHODS,
  MODELS,
  NORM,
  quickPlan,
} from './plan.ts';
import { type Trained, trainModel } from './train-models.ts';

export interface DemoRun {
  readonly plan: DemoPlan;
  readonly seed: number;
  readonly command: string;
  readonly version: string;
  readonly session: Session;
  readonly output: Output;
  readonly context: Context;
}

/** Trains, attacks and explains the models of the plan, and gathers what the report shows. */
export async function runDemo(demo: DemoRun): Promise<ReportData> {
  const { plan, seed, output, session } = demo;
  const dataset = await findDataset(session, DATASET);
  const trained: (Trained & DemoModel)[] = [];
  for (const model of MODELS) {
    output.say(`training ${model.label} (${model.meaning}), attacked at every checkpoint`);
    trained.push({ ...model, ...(await trainModel(model, plan, seed, demo)) });
  }
  const evaluated: (Trained & DemoModel & { readonly report: RobustnessReport })[] = [];
  for (const model of trained) {
    output.say(`attacking the best checkpoint of ${model.label}: noise, fgsm, pgd, mi-fgsm on the test part`);
    evaluated.push({ ...model, report: await evaluate(model.model, demo) });
  }
  output.say('explaining');
  const part = await readTestPart(session, dataset);
  const models: ReportedModel[] = [];
  for (const model of evaluated) {
    output.live.update(`explaining ${model.label} · ${count(plan.relevanceSamples)} samples by ${METHOD}`);
    const relevance = await relevanceOf(session, model, part, METHOD, plan.relevanceSamples);
    models.push({ ...reported(model, plan), ...(relevance && { relevance }) });
  }
  const names = { method: METHOD, methods: METHODS, classNames: dataset.classNames };
  const examples = turnedExamples(evaluated[0]?.report.examples ?? [], {
    attack: 'mi-fgsm',
    epsilon: EPSILON,
    count: plan.shown,
  });
  const samples = await bounded(examples, 2, (example) => sampleGrid(session, models, part, example, names));
  const explained = examples.length > 0 ? examples.slice(0, 2).map(({ index }) => index) : [0, 1];
  const methods = await bounded(explained, 1, (index) => methodGrid(session, models, part, index, names));
  output.live.stop();
  const maskArea = maskAreaOf(part, plan.relevanceSamples);
  return {
    createTime: new Date(),
    command: demo.command,
    dataset: dataset.name,
    seed,
    loop: { norm: NORM, epsilon: EPSILON, samples: plan.loopSamples },
    headline: { norm: NORM, epsilon: EPSILON },
    models,
    ...(maskArea !== undefined && { maskArea }),
    method: METHOD,
    samples,
    methods,
    facts: facts(demo, dataset.digest),
  };
}

async function evaluate(model: string, { plan, seed, session, output, context }: DemoRun): Promise<RobustnessReport> {
  const every = (attack: string, settings: Record<string, string> = {}, keepExamples = 0) => ({
    attack,
    norm: NORM,
    epsilons: [...EPSILONS],
    settings,
    keepExamples,
  });
  const spec = {
    model,
    dataset: '',
    models: [],
    plan: EvaluationPlan.fromPartial({
      attacks: [
        every('noise'),
        every('fgsm'),
        every('pgd', { steps: String(plan.steps) }),
        every('mi-fgsm', {}, KEPT_EXAMPLES),
      ],
      samples: plan.samples,
      part: 'test',
      seed,
    }),
    shards: 1,
  };
  const { evaluation, end } = await runEvaluation(spec, session, output, context);
  checkEnd(evaluation.name, end);
  if (!evaluation.report) throw new Error(`${evaluation.name} succeeded without a report`);
  return evaluation.report;
}

function reported(model: Trained & DemoModel & { readonly report: RobustnessReport }, plan: DemoPlan): ReportedModel {
  const { label, meaning, run, settings, secondsPerEpoch, curve, report } = model;
  return {
    label,
    meaning,
    run: run.name,
    model: model.model,
    architecture: ARCHITECTURE,
    settings: settings(plan),
    epochs: plan.epochs,
    secondsPerEpoch,
    curve,
    report,
  };
}

function facts({ plan, version }: DemoRun, digest: string): [string, string][] {
  return [
    ...(plan === quickPlan
      ? [['Sizes', 'the smallest (--quick): the figures mean nothing'] satisfies [string, string]]
      : []),
    [
      'Models',
      `${ARCHITECTURE}, ${epochsText(plan.epochs)} of batches of ${plan.batchSize}, Adam; the best checkpoint by transferred attacks on held-out samples`,
    ],
    [
      'Loop',
      `pgd (${plan.loopSteps} steps) and mi-fgsm, ${NORM} ${decimal(EPSILON)}, ${plan.loopSamples} held-out samples per checkpoint`,
    ],
    [
      'Evaluation',
      `noise, fgsm, pgd (${plan.steps} steps), mi-fgsm on two surrogates, ${NORM} ${EPSILONS.map(decimal).join(', ')}, ${plan.samples} test samples`,
    ],
    [
      'Pictures',
      `the first test samples, of different classes, that a transferred example (${NORM} ${decimal(EPSILON)}) turned for the standard model: chosen, not drawn`,
    ],
    ['Data', `${DATASET}, sha256 ${digest.slice(0, 12)}`],
    ['Versions', `jsigr ${version}, Node ${process.versions.node}, ${platform()} ${arch()}, ${cpus().length} cores`],
  ];
}
