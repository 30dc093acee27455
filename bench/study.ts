import { createHash } from 'node:crypto';
import { EvaluationSpec, Feedback, type RobustnessReport, type RunEvent, TrainingSpec } from '@jsigr/proto';
import type { StudyClient } from './gateway-client.ts';
import type { Study, StudyModel } from './studies.ts';

/** What became of one model. */
export interface StudyRow {
  readonly label: string;
  /** models/{digest} of the last checkpoint. */
  readonly model: string;
  /** How often saliency maps of all training images were made. */
  readonly refreshes: number;
  readonly report: RobustnessReport;
}

export interface StudyFigures {
  readonly rows: readonly StudyRow[];
  /** The loop's reports on the model that was trained while an attacker followed. */
  readonly loop: readonly RobustnessReport[];
}

/** Trains all models (as many at once as the gateway likes), one of them with the loop on, and attacks each. */
export async function runStudy(
  client: StudyClient,
  name: string,
  plan: Study,
  log: (line: string) => void,
): Promise<StudyFigures> {
  const training = plan.surrogates.map((architecture, i) =>
    trainOf(client, name, plan, surrogate(architecture), { architecture, seed: plan.seed + 1000 + i }),
  );
  const surrogates = (await Promise.all(training)).map(({ model }) => model);
  const models = plan.models.map((model) =>
    trainOf(client, name, plan, model, model.label === plan.loop.label ? { loop: true, surrogates } : {}),
  );
  const rows = await Promise.all(
    plan.models.map(async ({ label }, i): Promise<StudyRow> => {
      const trained = await models[i];
      if (!trained) throw new Error(`${label} was not trained`);
      const report = await evaluationOf(client, plan, label, trained.model, surrogates);
      const share = (value: number | undefined) => (100 * (value ?? Number.NaN)).toFixed(1);
      const worst = report.epsilons.map(
        (at) => `${at.epsilon} ${share(at.transferred?.value)}/${share(at.whiteBox?.value)}`,
      );
      log(`${label}: clean ${share(report.cleanAccuracy?.value)}, transferred/white-box ${worst.join(', ')}`);
      return { label, model: trained.model, refreshes: trained.refreshes, report };
    }),
  );
  const looped = await models[plan.models.findIndex(({ label }) => label === plan.loop.label)];
  return { rows, loop: looped?.events.flatMap(reportOf) ?? [] };
}

/**
 * Wall seconds of an epoch of each model, with the loop off and nothing else running: one epoch each, one after the other. Making the masks counts
 * as often as the study made them.
 */
export async function timeEpochs(
  client: StudyClient,
  name: string,
  plan: Study,
  { rows }: StudyFigures,
): Promise<Readonly<Record<string, number>>> {
  const seconds: Record<string, number> = {};
  for (const { label, refreshes } of rows) {
    const model = modelOf(plan, label);
    const masks: Record<string, string> = refreshes > 0 ? { maskWarmupEpochs: '0' } : {};
    const once = { ...model, settings: { ...model.settings, ...masks } };
    const { events } = await trainOf(client, `${name}-timing`, { ...plan, epochs: 1 }, once, { again: true });
    const [epoch] = events.flatMap(({ payload }) => (payload?.$case === 'epochCompleted' ? [payload.value] : []));
    const maskSeconds = epoch?.metrics.find((metric) => metric.name === MASK_SECONDS)?.value ?? 0;
    seconds[label] = (epoch?.seconds ?? Number.NaN) - maskSeconds + (maskSeconds * refreshes) / plan.epochs;
  }
  return seconds;
}

const MASK_SECONDS = 'mask_seconds';
/** Less than this is no refresh. */
const NO_REFRESH_SECONDS = 0.05;

interface TrainOptions {
  readonly architecture?: string;
  readonly seed?: number;
  readonly loop?: boolean;
  readonly surrogates?: readonly string[];
  /** Not the result of an earlier run. */
  readonly again?: boolean;
}

async function trainOf(client: StudyClient, name: string, plan: Study, model: StudyModel, options: TrainOptions = {}) {
  const { architecture = plan.architecture, seed = plan.seed, loop = false, surrogates = [], again = false } = options;
  const epsilons = [...plan.evaluation.epsilons];
  const spec = TrainingSpec.fromPartial({
    dataset: `datasets/${plan.dataset}`,
    architecture,
    objective: model.objective,
    objectiveSettings: { ...model.settings },
    optimizer: { name: 'adam', learningRate: plan.learningRate, schedule: plan.schedule },
    epochs: plan.epochs,
    batchSize: plan.batchSize,
    seed,
    checkpointEveryEpochs: loop ? 1 : plan.epochs,
    augmentation: { cropPadding: 0, flip: false, noise: model.noise ?? 0 },
    loop: {
      enabled: loop,
      feedback: Feedback.FEEDBACK_NONE,
      plan: {
        attacks: [
          { attack: 'pgd', epsilons, settings: { steps: '10' } },
          { attack: 'mi-fgsm', epsilons },
        ],
        samples: plan.loop.samples,
        part: 'held-out',
        surrogates: [...surrogates],
        seed,
      },
    },
  });
  const label = loop ? `${model.label}, loop on` : model.label;
  const { run, events } = await client.train(label, {
    spec,
    displayName: `${name}: ${label}`.slice(0, 100),
    requestId: again ? '' : requestId(spec),
    labels: { study: name },
  });
  const refreshes = events.filter(
    ({ payload }) => payload?.$case === 'epochCompleted' && madeMasks(payload.value.metrics),
  );
  return { model: run.latestModel, refreshes: refreshes.length, events };
}

async function evaluationOf(
  client: StudyClient,
  plan: Study,
  label: string,
  model: string,
  surrogates: readonly string[],
): Promise<RobustnessReport> {
  const epsilons = [...plan.evaluation.epsilons];
  const spec = EvaluationSpec.fromPartial({
    model,
    plan: {
      attacks: [
        { attack: 'noise', epsilons },
        { attack: 'fgsm', epsilons },
        { attack: 'pgd', epsilons, settings: { steps: String(plan.evaluation.pgdSteps) } },
        { attack: 'mi-fgsm', epsilons },
      ],
      samples: plan.evaluation.samples,
      part: 'test',
      surrogates: [...surrogates],
      seed: plan.seed,
    },
  });
  return client.evaluate(label, { spec, requestId: requestId(spec) });
}

function surrogate(architecture: string): StudyModel {
  return { label: `surrogate ${architecture}`, objective: 'standard', settings: {} };
}

function modelOf(plan: Study, wanted: string): StudyModel {
  const model = plan.models.find(({ label }) => label === wanted);
  if (!model) throw new Error(`the study has no model "${wanted}"`);
  return model;
}

/** The same spec is the same request. */
function requestId(spec: object): string {
  return `study-${createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 32)}`;
}

function madeMasks(metrics: readonly { readonly name: string; readonly value: number }[]): boolean {
  return metrics.some(({ name, value }) => name === MASK_SECONDS && value > NO_REFRESH_SECONDS);
}

function reportOf({ payload }: RunEvent): RobustnessReport[] {
  return payload?.$case === 'robustnessReported' ? [payload.value] : [];
}
