// `npm run results -- STUDY [DIRECTORY OF THE DATA]`: trains and attacks everything in a study (studies.ts) through a gateway, and writes
// docs/results/STUDY.json and the table docs/results/STUDY.md. Started again, it goes on where it was: runs that ended are not run again.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { startGateway } from '@jsigr/gateway';
import { EvaluationSpec, type RobustnessReport, type RunEvent, TrainingSpec } from '@jsigr/proto';
import { StudyClient } from './gateway-client.ts';
import { resultsPage, type StudyResult, type StudyRow } from './results-page.ts';
import { median } from './statistics.ts';
import { type Study, type StudyModel, studies } from './studies.ts';

const [name = '', directory] = process.argv.slice(2);
const study = studies[name];
if (!study) {
  console.error(`usage: npm run results -- STUDY [DIRECTORY]; studies: ${Object.keys(studies).join(', ')}`);
  process.exit(2);
}
if (study.format && !directory) {
  console.error(`usage: npm run results -- ${name} DIRECTORY, the folder with the files of ${study.dataset}`);
  process.exit(2);
}
const started = performance.now();
const log = (line: string) =>
  console.log(`${((performance.now() - started) / 60_000).toFixed(1).padStart(6)} min  ${line}`);
const gateway = await startGateway({ dataDirectory: '.jsigr/results', grpcPort: 0, httpPort: null });
const client = new StudyClient(gateway.grpcAddress, log);
try {
  if (study.format && directory) await client.importDataset(study.dataset, study.format, directory);
  const result = await runStudy(study);
  mkdirSync('docs/results', { recursive: true });
  writeFileSync(`docs/results/${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  const page = resultsPage(name, study, result);
  writeFileSync(`docs/results/${name}.md`, page);
  console.log(`\n${page}`);
} finally {
  client.close();
  await gateway.close();
}

async function runStudy(plan: Study): Promise<StudyResult> {
  const surrogates: string[] = [];
  for (const [i, architecture] of plan.surrogates.entries()) {
    const model = { label: `surrogate ${architecture}`, objective: 'standard', settings: {} };
    surrogates.push((await trainOf(plan, model, { architecture, seed: plan.seed + 1000 + i })).model);
  }
  const rows: StudyRow[] = [];
  for (const model of plan.models) {
    const trained = await trainOf(plan, model, { architecture: plan.architecture, seed: plan.seed });
    const report = await evaluationOf(plan, model.label, trained.model, surrogates);
    rows.push({
      label: model.label,
      objective: model.objective,
      settings: model.settings,
      noise: model.noise ?? 0,
      ...trained,
      report,
    });
    log(`${model.label}: clean ${report.cleanAccuracy?.value.toFixed(4)}`);
  }
  const looped = plan.models.find(({ label }) => label === plan.loop.label);
  if (!looped) throw new Error(`the study has no model ${plan.loop.label}`);
  const loop = await trainOf(plan, looped, {
    architecture: plan.architecture,
    seed: plan.seed,
    loop: true,
    surrogates,
  });
  const alone = rows.find(({ label }) => label === looped.label);
  return {
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}`,
    rows,
    loop: {
      label: looped.label,
      reports: loop.reports,
      sameWeights: (await client.weightsDigest(loop.model)) === (await client.weightsDigest(alone?.model ?? '')),
    },
  };
}

interface RunOptions {
  readonly architecture: string;
  readonly seed: number;
  readonly loop?: boolean;
  readonly surrogates?: readonly string[];
}

async function trainOf(
  plan: Study,
  model: StudyModel,
  { architecture, seed, loop = false, surrogates = [] }: RunOptions,
) {
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
      plan: {
        attacks: [
          { attack: 'pgd', epsilons: [...plan.evaluation.epsilons], settings: { steps: '10' } },
          { attack: 'mi-fgsm', epsilons: [...plan.evaluation.epsilons] },
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
    requestId: requestId(spec),
    labels: { study: name },
  });
  return { model: run.latestModel, ...timesOf(events), reports: events.flatMap(reportOf) };
}

async function evaluationOf(
  plan: Study,
  label: string,
  model: string,
  surrogates: readonly string[],
): Promise<RobustnessReport> {
  const { samples, epsilons, pgdSteps } = plan.evaluation;
  const spec = EvaluationSpec.fromPartial({
    model,
    plan: {
      attacks: [
        { attack: 'noise', epsilons: [...epsilons] },
        { attack: 'fgsm', epsilons: [...epsilons] },
        { attack: 'pgd', epsilons: [...epsilons], settings: { steps: String(pgdSteps) } },
        { attack: 'mi-fgsm', epsilons: [...epsilons] },
      ],
      samples,
      part: 'test',
      surrogates: [...surrogates],
      seed: plan.seed,
    },
  });
  return client.evaluate(label, { spec, requestId: requestId(spec) });
}

/** The same spec is the same request. */
function requestId(spec: object): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(JSON.stringify(spec)))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return `study-${hash.toString(16)}`;
}

/** Wall time: the median epoch without masks, and what the masks took in all, shared among the epochs. */
function timesOf(events: readonly RunEvent[]): { readonly secondsPerEpoch: number } {
  const epochs = events.flatMap(({ payload }) => (payload?.$case === 'epochCompleted' ? [payload.value] : []));
  const masks = epochs.map(({ metrics }) => metrics.find((metric) => metric.name === 'mask_seconds')?.value ?? 0);
  const plain = epochs.map(({ seconds }, i) => seconds - (masks[i] ?? 0));
  return {
    secondsPerEpoch: median(plain) + masks.reduce((sum, seconds) => sum + seconds, 0) / Math.max(1, epochs.length),
  };
}

function reportOf({ payload }: RunEvent): RobustnessReport[] {
  return payload?.$case === 'robustnessReported' ? [payload.value] : [];
}
