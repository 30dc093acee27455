import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { decodeLedger } from '@jsigr/attacks';
import { type Evaluation, type Model, type RobustnessReport, type RunEvent, RunState } from '@jsigr/proto';
import { directoryArtefactStore, serverStream, unary } from '@jsigr/service';
import { workersOf } from '../support/gateway-process.ts';
import type { Clients, Run } from './clients.ts';
import type { Observations, SeenRun } from './oracle.ts';

type Seen = Pick<Observations, 'runs' | 'events' | 'models' | 'figures' | 'ledgers' | 'damaged'>;

/** Looks at everything, once nothing moves any more. */
export async function observe(clients: Clients, data: string): Promise<Seen> {
  const found = await allRuns(clients);
  const events = new Map<string, RunEvent[]>();
  for (const { name } of found) events.set(name, await allEvents(clients, name));
  const models = await allModels(clients);
  const succeeded = found.filter(
    (run): run is Evaluation => 'report' in run && run.state === RunState.RUN_STATE_SUCCEEDED,
  );
  return {
    runs: found.map(seenRun),
    events,
    models: models.map(({ name, trainingRun, step, files }) => ({
      name,
      run: trainingRun,
      step,
      tensors: tensorsOf(files),
    })),
    figures: new Map(succeeded.map(({ name, report }) => [name, figuresOf(report)])),
    ...(await artefactsOf(data, models, [...events.values()].flat())),
  };
}

function tensorsOf(files: Model['files']): string {
  const tensors = files.filter(({ path }) => path.endsWith('.safetensors'));
  return tensors.map(({ sha256 }) => sha256).join(' ');
}

/** A report without what it took in time. */
export function figuresOf(report: RobustnessReport | undefined): unknown {
  return report && { ...report, seconds: 0, attacks: report.attacks.map((attack) => ({ ...attack, seconds: 0 })) };
}

function seenRun(run: Run): SeenRun {
  const { name, state, stateReason: reason, lastSequence } = run;
  return { name, state, reason, lastSequence, isSurrogate: 'labels' in run && run.labels.role === 'surrogate' };
}

async function allRuns(clients: Clients): Promise<Run[]> {
  const page = { pageSize: 1000, pageToken: '' };
  return clients.patiently('list', async ({ training, evaluations }) => {
    const { trainingRuns } = await unary(training, 'listTrainingRuns', page);
    const { evaluations: listed } = await unary(evaluations, 'listEvaluations', page);
    return [...trainingRuns, ...listed];
  });
}

async function allEvents(clients: Clients, name: string): Promise<RunEvent[]> {
  return clients.patiently('replay', async ({ training, evaluations }) => {
    const request = { name, afterSequence: 0 };
    const stream = name.startsWith('trainingRuns/')
      ? serverStream(training, 'watchTrainingRun', request)
      : serverStream(evaluations, 'watchEvaluation', request);
    const events: RunEvent[] = [];
    for await (const { event } of stream) if (event) events.push(event);
    return events;
  });
}

async function allModels(clients: Clients): Promise<Model[]> {
  return clients.patiently('models', async ({ models }) => {
    const page = { trainingRun: '', pageSize: 1000, pageToken: '' };
    return (await unary(models, 'listModels', page)).models;
  });
}

/** Reads every artefact that is named somewhere: the store verifies what it reads. */
async function artefactsOf(
  data: string,
  models: readonly Model[],
  events: readonly RunEvent[],
): Promise<Pick<Observations, 'ledgers' | 'damaged'>> {
  const artefacts = directoryArtefactStore(join(data, 'artefacts'));
  const damaged: string[] = [];
  const ledgers = new Map<string, string[]>();
  const read = (kind: 'models' | 'ledgers', digest: string) =>
    artefacts.get(kind, digest).catch((error: Error) => void damaged.push(`${kind}/${digest}: ${error.message}`));
  for (const { name } of models) await read('models', name.replace('models/', ''));
  const named = events.flatMap(({ payload }) =>
    payload?.$case === 'robustnessReported' ? [payload.value.ledger] : [],
  );
  for (const digest of new Set(named)) {
    const files = await read('ledgers', digest);
    if (files) ledgers.set(digest, rowsOf(files));
  }
  return { ledgers, damaged };
}

/** What may be there once, in words. */
function rowsOf(files: Parameters<typeof decodeLedger>[0]): string[] {
  const { clean, units } = decodeLedger(files);
  const rows = units.flatMap((unit) => unit.rows);
  return [
    ...clean.map(({ sample }) => `clean sample ${sample}`),
    ...units.map(({ cell, block }) => `unit of cell ${cell}, block ${block}`),
    ...rows.map(
      ({ attack, norm, epsilon, sample, attempt }) =>
        `${attack} in ${norm} at ${epsilon}: sample ${sample}, attempt ${attempt}`,
    ),
  ];
}

/** Processes, and files that are nobody's, after the gateway has stopped and garbage was collected. @param temporary what the processes had as folder for temporary files */
export async function leftBehind(data: string, temporary: string): Promise<string[]> {
  const processes = (await workersOf(data)).map((pid) => `process ${pid}`);
  const folder = (path: string) => {
    try {
      return readdirSync(path).map((each) => join(path, each));
    } catch {
      return [];
    }
  };
  const known = ['artefacts', 'db', 'audit.jsonl', 'secret'];
  const others = readdirSync(data).filter((name) => !known.includes(name));
  const artefacts = join(data, 'artefacts');
  return [
    ...processes,
    ...folder(join(artefacts, '.partial')),
    ...folder(join(artefacts, 'states')),
    ...folder(temporary),
    ...others,
  ];
}
