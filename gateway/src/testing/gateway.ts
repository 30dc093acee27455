import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeDataset, glyphs } from '@jsigr/datasets';
import { Dataset, RunEvent } from '@jsigr/proto';
import { type ArtefactStore, createLogger, directoryArtefactStore } from '@jsigr/service';
import { Access, type Authenticator } from '../access/access.ts';
import type { Audit } from '../access/audit.ts';
import { type Limits, TenantLimits } from '../access/limits.ts';
import { Strangers } from '../access/strangers.ts';
import type { Application } from '../application/application.ts';
import { assemble } from '../assembly.ts';
import type { Conductor } from '../conductor/conductor.ts';
import type { EventPayload } from '../store/runs.ts';
import { isFinal } from '../store/state-machine.ts';
import { FENCING_TOKENS, type Store } from '../store/store.ts';
import { WorkerCredentials } from '../workers/credentials.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import { FakePool } from './fake-workers.ts';

/** A gateway in this process, but for its faces: the real store and artefacts, workers from the far side. */
export interface TestGateway {
  readonly application: Application;
  readonly access: Access;
  readonly credentials: WorkerCredentials;
  readonly audit: Audit;
  /** Changes that were audited: who, what, which. */
  readonly audited: string[];
  readonly conductor: Conductor;
  readonly store: Store;
  readonly artefacts: ArtefactStore;
  readonly pool: FakePool;
  /** Puts a checkpoint into the artefact store, as a trainer does; equal arguments give equal digests. */
  checkpoint(step: number, architecture?: string): Promise<string>;
  /** Events of a run, to its end. */
  events(id: string): Promise<RunEvent[]>;
  close(): Promise<void>;
}

const TRAIN = 30;
const TEST = 20;
export const TINY = 'datasets/tiny';
/** Each gateway has images of its own: one must not find the surrogates of another in the store that they share. */
let gateways = 0;

export interface TestGatewayOptions {
  readonly trainingsAtOnce?: number;
  readonly evaluationsAtOnce?: number;
  /** Ways to sign in; without one nobody has to. */
  readonly authenticators?: readonly Authenticator[];
  readonly limits?: Partial<Limits>;
  /** Of one address; more than a test makes unless told. */
  readonly failedSignInsPerMinute?: number;
  /** Of another gateway, whose workers outlived it. */
  readonly pool?: FakePool;
}

/** @param store shared by the tests of a file: opening one takes long. */
export async function testGateway(
  store: Store,
  {
    trainingsAtOnce = 1,
    evaluationsAtOnce = 1,
    authenticators = [],
    limits: limited = {},
    failedSignInsPerMinute = 1_000_000,
    pool = new FakePool(),
  }: TestGatewayOptions = {},
): Promise<TestGateway> {
  const root = await mkdtemp(join(tmpdir(), 'jsigr-gateway-'));
  const artefacts = directoryArtefactStore(root);
  const logger = createLogger('test', 'silent');
  const registry = new WorkerRegistry({ leaseMs: 60_000, nextToken: () => store.next(FENCING_TOKENS) });
  const credentials = new WorkerCredentials(Buffer.alloc(32, 1));
  const limits = new TenantLimits(limited);
  const strangers = new Strangers(failedSignInsPerMinute);
  const access = new Access({ authenticators, workers: credentials, limits, strangers, logger });
  const audited: string[] = [];
  const audit: Audit = {
    record: ({ subject }, method, resource) => void audited.push(`${subject} ${method} ${resource}`),
    close: () => {},
  };
  const common = { store, artefacts, registry, pool, credentials, audit, limits, logger };
  const atOnce = { trainingsAtOnce, evaluationsAtOnce };
  const waits = { graceMs: 5000, togetherMs: 2000 };
  const { application, conductor } = assemble({ ...common, ...atOnce, ...waits, cores: 4, retries: 2 });
  await addTiny(store, artefacts);
  return {
    application,
    access,
    credentials,
    audit,
    audited,
    conductor,
    store,
    artefacts,
    pool,
    checkpoint: (step, architecture = 'lenet') => putCheckpoint(artefacts, step, architecture, 'tiny'),
    async events(id) {
      const events: RunEvent[] = [];
      for (let last = 0; ; last = events.length) {
        events.push(...(await store.runs.events(id, last)));
        const { payload } = events.at(-1) ?? RunEvent.fromPartial({});
        if (payload?.$case === 'stateChanged' && isFinal(payload.value.state)) return events;
        await store.runs.changedAfter(id, events.length);
      }
    },
    async close() {
      await conductor.close();
      await pool.close();
      await application.datasets.close();
      registry.close();
      await rm(root, { recursive: true });
    },
  };
}

/** Ten shapes, thirty images to train on, twenty to test on. */
async function addTiny(store: Store, artefacts: ArtefactStore): Promise<void> {
  const images = { ...glyphs({ variant: 'gray28', seed: ++gateways, train: TRAIN, test: TEST }), name: 'tiny' };
  const { digest, files } = await artefacts.put('datasets', encodeDataset(images));
  await store.datasets.remove('tiny');
  const dataset = Dataset.fromPartial({
    name: TINY,
    digest,
    input: [...images.input],
    classNames: [...images.classes],
    parts: [
      { name: 'train', count: TRAIN },
      { name: 'test', count: TEST },
    ],
    files: files.map((file) => ({ ...file })),
  });
  await store.datasets.add('tiny', dataset);
}

/** @returns its name */
export async function putCheckpoint(
  artefacts: ArtefactStore,
  step: number,
  architecture: string,
  dataset: string,
): Promise<string> {
  const manifest = {
    run: 'trainingRuns/made',
    step,
    epoch: step,
    model: { architecture, input: [28, 28, 1], classes: 10 },
    dataset: { name: dataset },
    objective: { name: 'standard' },
    metrics: { heldOutAccuracy: 0.5 },
  };
  const files = {
    'manifest.json': Buffer.from(JSON.stringify(manifest)),
    'weights.safetensors': Buffer.alloc(1000, step),
  };
  return `models/${(await artefacts.put('models', files)).digest}`;
}

export function saved(model: string, step: number): EventPayload {
  return { $case: 'checkpointSaved', value: { model, step, epoch: step, heldOutAccuracy: 0.5 } };
}

/** `RUN_STATE_QUEUED` events read as QUEUED, others by their kind: the life of a run in words. */
export function words(events: readonly RunEvent[]): string[] {
  return events.map(({ payload }) =>
    payload?.$case === 'stateChanged' ? payload.value.state.replace('RUN_STATE_', '') : (payload?.$case ?? ''),
  );
}

export function reasonOf(events: readonly RunEvent[]): string {
  const payload = events.at(-1)?.payload;
  return payload?.$case === 'stateChanged' ? payload.value.reason : '';
}
