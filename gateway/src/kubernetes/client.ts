import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { createInterface } from 'node:readline';
import type { KubeConfig } from '@kubernetes/client-node';
import { type Collection, type KubernetesObject, pathOf, type WatchEvent } from './types.ts';

/** What the API server refused, in its words. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
  /** HTTP status; 0 where no answer came. */
  readonly code: number;
  /** E.g. NotFound, Conflict, Expired. */
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
type Query = Readonly<Record<string, string>>;

export interface RequestDetails {
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

const REQUEST_MS = 30_000;
/** The server ends a watch after so long, however quiet it is; what says nothing for longer is a connection that was cut. */
const WATCH_SECONDS = 120;
const SILENCE_MS = 150_000;
const APPLY = 'application/apply-patch+yaml';
const MERGE = 'application/merge-patch+json';
/** Owner of the fields that this program sets. */
export const FIELD_MANAGER = 'jsigr';

/**
 * The API server, for what a controller needs: requests, server-side apply, watches. Certificates, tokens and their renewal are client-node's; its typed
 * clients turn times into Dates and back, which loses the microseconds of leases.
 */
export class KubernetesClient {
  readonly namespace: string;
  readonly #config: KubeConfig;
  #requests = 0;

  constructor(config: KubeConfig, namespace: string) {
    this.#config = config;
    this.namespace = namespace;
  }

  /** Requests so far, watches included. */
  get requests(): number {
    return this.#requests;
  }

  get<T>(collection: Collection, name: string): Promise<T> {
    return this.request('GET', pathOf(collection, this.namespace, name));
  }

  create<T>(collection: Collection, body: T): Promise<T> {
    return this.request('POST', pathOf(collection, this.namespace), { body });
  }

  replace<T extends KubernetesObject>(collection: Collection, body: T): Promise<T> {
    return this.request('PUT', pathOf(collection, this.namespace, body.metadata?.name), { body });
  }

  /** Server-side apply: what is given is ours from now on, what we gave earlier and is not given any more goes. */
  apply<T extends KubernetesObject>(collection: Collection, body: T, part?: 'status'): Promise<T> {
    const path = pathOf(collection, this.namespace, body.metadata?.name, part);
    const query = { fieldManager: FIELD_MANAGER, force: 'true' };
    return this.request('PATCH', path, { query, body, contentType: APPLY });
  }

  /** What is given takes the place of what was there, lists as a whole; with a resource version only if that is the newest. */
  merge<T>(collection: Collection, name: string, body: unknown): Promise<T> {
    return this.request('PATCH', pathOf(collection, this.namespace, name), { body, contentType: MERGE });
  }

  /** Its dependants go with it, in the background. What is not there is fine. */
  async remove(collection: Collection, name: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
    await this.request('DELETE', pathOf(collection, this.namespace, name), { body }).catch((error) => {
      if (!isCode(error, 404)) throw error;
    });
  }

  /** @throws KubernetesError */
  async request<T>(method: Method, path: string, details: RequestDetails = {}): Promise<T> {
    const timeout = AbortSignal.timeout(REQUEST_MS);
    const signal = details.signal ? AbortSignal.any([details.signal, timeout]) : timeout;
    const response = await this.#send(method, path, { ...details, signal });
    const text = await textOf(response);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  /** What changes after a resource version; ends when the server ends it. @throws KubernetesError, 410 Expired among them; the signal's reason. */
  async *watch<T>(collection: Collection, query: Query, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const all = { ...query, watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: String(WATCH_SECONDS) };
    const response = await this.#send('GET', pathOf(collection, this.namespace), { query: all, signal });
    response.on('error', () => undefined); // it is looked at below
    response.setTimeout(SILENCE_MS, () =>
      response.destroy(unreachable(`nothing was heard for ${SILENCE_MS / 1000} s`)),
    );
    try {
      for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
        const event = JSON.parse(line) as WatchEvent<T>;
        if (event.type === 'ERROR') throw errorOf(event.object);
        yield event;
      }
      // The lines end in the same way when the connection is cut.
      if (response.errored) throw unreachable(response.errored.message);
    } finally {
      response.destroy();
    }
  }

  async #send(method: Method, path: string, details: RequestDetails): Promise<IncomingMessage> {
    const { query = {}, body, contentType = 'application/json', signal } = details;
    signal?.throwIfAborted();
    this.#requests++;
    const { server = '' } = this.#config.getCurrentCluster() ?? {};
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = { method, ...(signal ? { signal } : {}) };
    // Node does not say how long the body of a DELETE is, and without that it is not read.
    const content = payload && { 'content-type': contentType, 'content-length': Buffer.byteLength(payload) };
    options.headers = { accept: 'application/json', ...content };
    await this.#config.applyToHTTPSOptions(options);
    const search = new URLSearchParams(query).toString();
    const outgoing = request(`${server}${path}${search ? `?${search}` : ''}`, options);
    outgoing.end(payload);
    let response: IncomingMessage;
    try {
      [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    } catch (error) {
      details.signal?.throwIfAborted();
      throw unreachable(error instanceof Error ? error.message : String(error));
    }
    if ((response.statusCode ?? 0) < 300) return response;
    throw errorOf(parsed(await textOf(response)), response.statusCode);
  }
}

/** The client for the cluster that this process is in, or else of the current context of a kubeconfig. */
export async function connectKubernetes(namespace?: string): Promise<KubernetesClient> {
  // Loaded when it is needed: it takes a second and 80 MB.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  const own = config.getContextObject(config.getCurrentContext())?.namespace;
  return new KubernetesClient(config, namespace || own || 'default');
}

export function isCode(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof KubernetesError && codes.includes(error.code);
}

function unreachable(why: string): KubernetesError {
  return new KubernetesError(0, 'Unreachable', `the API server cannot be reached: ${why}`);
}

function errorOf(status: unknown, httpStatus = 0): KubernetesError {
  const { code = httpStatus, reason = '', message = '' } = (status ?? {}) as Partial<KubernetesError>;
  return new KubernetesError(code, reason, message || `the API server answered with HTTP status ${code}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.slice(0, 500) };
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}
