import { createHash } from 'node:crypto';
import type { Logger } from '@jsigr/service';
import { isCode, type KubernetesClient } from '../kubernetes/client.ts';
import { Informer } from '../kubernetes/informer.ts';
import { type Event, events } from '../kubernetes/types.ts';
import { WorkQueue } from '../kubernetes/work-queue.ts';
import type { StoredRun } from '../store/runs.ts';
import { isFinal } from '../store/state-machine.ts';
import { type Action, reconcile } from './plan.ts';
import {
  collections,
  FINALIZER,
  type Kind,
  type Resource,
  type RobustnessEvaluationResource,
  type Status,
  type TrainingRunResource,
} from './resource.ts';
import { Refused, type Runs } from './runs.ts';

export interface OperatorOptions {
  readonly client: KubernetesClient;
  readonly runs: Runs;
  readonly logger: Logger;
  /** A status in which nothing but figures has changed is written at most so often, in milliseconds. */
  readonly progressMs?: number;
  readonly relistMs?: number;
  /** Called each time that a resource was looked at and what was to be done was done, with how long that took. */
  readonly onReconciled?: (seconds: number) => void;
}

const PROGRESS_MS = 5000;
/** A spec that the gateway refuses is tried again: what it names may have come meanwhile. */
const REFUSED_AGAIN_MS = 60_000;
const COMPONENT = 'jsigr';

/** Makes runs of resources and writes down in the resources what becomes of the runs. */
export class Operator {
  readonly #options: OperatorOptions;
  readonly #trainings: Informer<TrainingRunResource>;
  readonly #evaluations: Informer<RobustnessEvaluationResource>;
  readonly #queue: WorkQueue;
  readonly #stopping = new AbortController();
  /** Runs whose events wake their resource. */
  readonly #followed = new Map<string, Promise<void>>();
  /** When each status was written last. */
  readonly #written = new Map<string, number>();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { client, logger, relistMs } = options;
    const common = { client, logger, ...(relistMs === undefined ? {} : { relistMs }) };
    this.#trainings = new Informer({ ...common, collection: collections.TrainingRun });
    this.#evaluations = new Informer({ ...common, collection: collections.RobustnessEvaluation });
    this.#queue = new WorkQueue({ work: (key) => this.#work(key), logger, onWorked: options.onReconciled });
    this.#trainings.onChange((name) => {
      this.#queue.add(keyOf('TrainingRun', name));
      for (const { metadata, spec } of this.#evaluations.all())
        if (spec.modelFrom?.trainingRun === name) this.#queue.add(keyOf('RobustnessEvaluation', metadata.name ?? ''));
    });
    this.#evaluations.onChange((name) => this.#queue.add(keyOf('RobustnessEvaluation', name)));
  }

  /** Nothing waits to be done. */
  get idle(): boolean {
    return this.#queue.idle;
  }

  start(): void {
    this.#trainings.start();
    this.#evaluations.start();
  }

  /** What is being done is done to its end; runs go on. */
  async stop(): Promise<void> {
    this.#stopping.abort(new DOMException('the operator stops', 'AbortError'));
    await Promise.all([this.#trainings.stop(), this.#evaluations.stop()]);
    await this.#queue.close();
    await Promise.all(this.#followed.values());
  }

  async #work(key: string): Promise<number | undefined> {
    const [kind, name] = key.split('/') as [Kind, string];
    const resource = kind === 'TrainingRun' ? this.#trainings.get(name) : this.#evaluations.get(name);
    if (!resource) {
      this.#written.delete(key);
      return undefined;
    }
    return this.#step(key, resource, { run: await this.#options.runs.find(resource) });
  }

  /** Does what is to be done, and goes on from what came of it. */
  async #step(
    key: string,
    resource: Resource,
    seen: { readonly run?: StoredRun | undefined; readonly refusal?: string },
  ): Promise<number | undefined> {
    if (seen.run && !isFinal(seen.run.state)) this.#follow(key, seen.run);
    for (const action of reconcile({ resource, ...seen, source: this.#sourceOf(resource), now: now() })) {
      const wait = action.do === 'write status' ? this.#tooSoon(key, resource, action.status) : 0;
      if (wait > 0) return wait;
      if (action.do === 'create run') return this.#create(key, resource, action.model);
      // Its deletion, or what took its place, is looked at next; the rest was decided for what is gone.
      if (!(await this.#perform(resource, action))) return undefined;
      if (action.do === 'write status') this.#written.set(key, Date.now());
    }
    return seen.refusal === undefined ? undefined : REFUSED_AGAIN_MS;
  }

  async #create(key: string, resource: Resource, model: string): Promise<number | undefined> {
    try {
      const run = await this.#options.runs.create(resource, model);
      return await this.#step(key, resource, { run });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return this.#step(key, resource, { refusal: error.message });
    }
  }

  /** @returns false where the resource is gone */
  async #perform(resource: Resource, action: Action): Promise<boolean> {
    const { client, runs } = this.#options;
    const { kind, apiVersion, metadata } = resource;
    const { name = '', uid = '' } = metadata;
    const collection = collections[kind];
    // With the uid: a resource of the same name that came after this one is another one.
    const ours = { apiVersion, kind, metadata: { name, uid } };
    switch (action.do) {
      case 'add finalizer':
        return unlessGone(
          client.apply(collection, { ...ours, metadata: { ...ours.metadata, finalizers: [FINALIZER] } }),
        );
      case 'remove finalizer': {
        // By whomever it was set: a resource that was saved and applied anew brings it along, and an apply of ours would leave it.
        const { resourceVersion, finalizers = [] } = metadata;
        const left = finalizers.filter((each) => each !== FINALIZER);
        return unlessGone(client.merge(collection, name, { metadata: { resourceVersion, finalizers: left } }));
      }
      case 'write status':
        return unlessGone(client.apply(collection, { ...ours, status: action.status }, 'status'));
      case 'cancel run':
        await runs.cancel(kind, action.run.id);
        break;
      case 'tell':
        await this.#tell(resource, action);
        break;
      case 'suspend run':
        await runs.suspend(kind, action.run.id);
        this.#queue.add(keyOf(kind, name));
        break;
      case 'resume run':
        await runs.unsuspend(kind, action.run.id);
        this.#queue.add(keyOf(kind, name));
        break;
      default:
        throw new Error(`nobody performs ${action.do}`);
    }
    return true;
  }

  /** The same thing said of the resource as it was has the same name: it is told once, and again when it happens again. */
  async #tell(resource: Resource, { type, reason, message }: Extract<Action, { do: 'tell' }>): Promise<void> {
    const { client } = this.#options;
    const { kind, apiVersion, metadata, status } = resource;
    const { name = '', uid = '', namespace = '' } = metadata;
    const said = [uid, reason, message, JSON.stringify(status?.conditions ?? [])];
    const hash = createHash('sha256').update(said.join('\n')).digest('hex').slice(0, 16);
    const event: Event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${hash}`, namespace },
      involvedObject: { apiVersion, kind, name, namespace, uid },
      ...{ type, reason, message: message.slice(0, 1000) },
      ...{ count: 1, firstTimestamp: now(), lastTimestamp: now() },
      source: { component: COMPONENT },
    };
    await client.create(events, event).catch((error) => {
      // 403: the namespace is going away.
      if (!isCode(error, 403, 409)) throw error;
    });
  }

  #sourceOf(resource: Resource): TrainingRunResource | undefined {
    if (resource.kind !== 'RobustnessEvaluation' || !resource.spec.modelFrom) return undefined;
    return this.#trainings.get(resource.spec.modelFrom.trainingRun);
  }

  /** Milliseconds to wait with a status that brings nothing but new figures. */
  #tooSoon(key: string, { status: before }: Resource, status: Status): number {
    const said = (each: Partial<Status> = {}) => JSON.stringify([each.state, each.run, each.conditions?.map(wordsOf)]);
    if (said(before) !== said(status)) return 0;
    const { progressMs = PROGRESS_MS } = this.#options;
    return Math.max(0, (this.#written.get(key) ?? 0) + progressMs - Date.now());
  }

  #follow(key: string, run: StoredRun): void {
    if (this.#followed.has(key)) return;
    const { signal } = this.#stopping;
    const following = this.#options.runs
      .changedAfter(run.id, run.lastSequence, signal)
      .then(() => this.#queue.add(key))
      .catch((error) => {
        if (!signal.aborted) this.#options.logger.error(error, `${key}: the run's events cannot be followed`);
      })
      .finally(() => this.#followed.delete(key));
    this.#followed.set(key, following);
  }
}

function wordsOf({ type, status, reason, message }: NonNullable<Status['conditions']>[number]): string {
  return [type, status, reason, message].join('\n');
}

function keyOf(kind: Kind, name: string): string {
  return `${kind}/${name}`;
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}

/**
 * What is gone meanwhile needs nothing any more; a resource that took its place has another uid, which is a conflict.
 * @returns whether it was there
 */
async function unlessGone(doing: Promise<unknown>): Promise<boolean> {
  try {
    await doing;
    return true;
  } catch (error) {
    if (isCode(error, 404, 409)) return false;
    throw error;
  }
}
