import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { type ArtefactPlace, placeFrom } from './artefact-place.ts';
import { type ComputeOptions, DEVICE_CHOICES, ENGINE_CHOICES } from './compute-options.ts';
import { invalidArgument } from './errors.ts';
import { listFromText } from './text-list.ts';
import type { TlsFiles } from './tls.ts';

const port = z.coerce.number().int().min(0).max(65_535);

/** Where certificates lie, in the environment of every process. */
export const tlsVariables = {
  JSIGR_TLS_CERTIFICATE: z.string().optional(),
  JSIGR_TLS_KEY: z.string().optional(),
  JSIGR_TLS_CA: z.string().optional(),
  JSIGR_TLS_CLIENT_CA: z.string().optional(),
  JSIGR_TLS_SERVER_NAME: z.string().optional(),
};

const tlsNames: Readonly<Record<keyof TlsFiles, keyof typeof tlsVariables>> = {
  certificate: 'JSIGR_TLS_CERTIFICATE',
  key: 'JSIGR_TLS_KEY',
  ca: 'JSIGR_TLS_CA',
  clientCa: 'JSIGR_TLS_CLIENT_CA',
  serverName: 'JSIGR_TLS_SERVER_NAME',
};

/** What the environment says of certificates; undefined where it says nothing. */
export function tlsFrom(environment: Readonly<Record<string, unknown>>): TlsFiles | undefined {
  const found = Object.entries(tlsNames).filter(([, name]) => environment[name]);
  return found.length > 0 ? Object.fromEntries(found.map(([field, name]) => [field, environment[name]])) : undefined;
}

/** The same the other way round. */
export function tlsEnvironment(files: TlsFiles | undefined): Record<string, string> {
  const entries = Object.entries(files ?? {}) as [keyof TlsFiles, string][];
  return Object.fromEntries(entries.map(([field, value]) => [tlsNames[field], value]));
}

const workerSchema = z.object({
  JSIGR_GATEWAY: z.string().regex(/^.+:\d+$/, 'must be host:port of the gateway'),
  JSIGR_WORKER_ID: z.string().min(1, 'must be the id that the pool gave the worker').max(200),
  JSIGR_WORKER_TOKEN: z.string().min(16, 'must be the token that the pool gave the worker').max(10_000).optional(),
  JSIGR_WORKER_TOKEN_FILE: z.string().optional(),
  JSIGR_ARTEFACTS: z.string().min(1, 'must be the folder of the artefact store, or s3://bucket/prefix'),
  JSIGR_ARTEFACT_BYTES: z.coerce.number().int().min(1).optional(),
  JSIGR_S3_REGION: z.string().optional(),
  JSIGR_S3_ENDPOINT: z.string().optional(),
  JSIGR_S3_PATH_STYLE: z.enum(['true', 'false']).optional(),
  JSIGR_THREADS: z.coerce.number().int().min(1).max(1024).optional(),
  JSIGR_ENGINE: z.enum(ENGINE_CHOICES).optional(),
  JSIGR_DEVICE: z.enum(DEVICE_CHOICES).optional(),
  JSIGR_STATE_SECONDS: z.coerce.number().min(0).max(86_400).default(30),
  JSIGR_SILENCE_SECONDS: z.coerce.number().min(0).max(86_400).default(1800),
  JSIGR_GRACE_SECONDS: z.coerce.number().min(0).max(86_400).default(8),
  JSIGR_ENDPOINT_NETWORKS: z.string().default(''),
  JSIGR_HOST: z.string().min(1).default('127.0.0.1'),
  JSIGR_PORT: port.default(0),
  JSIGR_HEALTH_PORT: port.optional(),
  JSIGR_CHECK_DEVICE: z.enum(['true', 'false']).default('false'),
  ...tlsVariables,
});

/** What a worker is told when it is started. */
export interface WorkerConfig {
  /** host:port of the gateway's gRPC server. */
  readonly gateway: string;
  readonly workerId: string;
  /** What gateway and worker show each other. */
  readonly token: string;
  /** Where the artefact store is. */
  readonly place: ArtefactPlace;
  /** What all artefacts together may have, in bytes; absent: no limit. */
  readonly artefactBytes?: number;
  readonly compute: ComputeOptions;
  /** How often a run in progress keeps what it could go on from, in milliseconds. */
  readonly stateMs: number;
  /** How long what computes may give no sign of life before it is ended, in milliseconds; 0: for ever. */
  readonly silenceMs: number;
  /** How long the worker may take to hand its work back after SIGTERM, in milliseconds. */
  readonly graceMs: number;
  /** Private networks in which live endpoints may be asked, in CIDR notation. */
  readonly endpointNetworks: readonly string[];
  readonly host: string;
  readonly port: number;
  /** Where probes ask after its health without TLS; absent: where everything else is asked. */
  readonly healthPort?: number;
  /** Look at what computes at the start, and end where what was asked for is not there. */
  readonly checkDevice: boolean;
  readonly tls?: TlsFiles;
}

/** @throws JsigrError INVALID_ARGUMENT with a violation for each variable that is missing or wrong. */
export function workerConfig(environment: Readonly<Record<string, string | undefined>>): WorkerConfig {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = workerSchema.safeParse(present);
  if (!parsed.success)
    throw invalidArgument(
      parsed.error.issues.map(({ path, message }) => ({ field: path.map(String).join('.'), description: message })),
    );
  const { data } = parsed;
  const tls = tlsFrom(data);
  return {
    gateway: data.JSIGR_GATEWAY,
    workerId: data.JSIGR_WORKER_ID,
    token: data.JSIGR_WORKER_TOKEN ?? tokenIn(data.JSIGR_WORKER_TOKEN_FILE),
    place: placeFrom(data),
    ...(data.JSIGR_ARTEFACT_BYTES === undefined ? {} : { artefactBytes: data.JSIGR_ARTEFACT_BYTES }),
    compute: {
      ...(data.JSIGR_THREADS === undefined ? {} : { threads: data.JSIGR_THREADS }),
      ...(data.JSIGR_ENGINE === undefined ? {} : { engine: data.JSIGR_ENGINE }),
      ...(data.JSIGR_DEVICE === undefined ? {} : { device: data.JSIGR_DEVICE }),
    },
    stateMs: data.JSIGR_STATE_SECONDS * 1000,
    silenceMs: data.JSIGR_SILENCE_SECONDS * 1000,
    graceMs: data.JSIGR_GRACE_SECONDS * 1000,
    endpointNetworks: listFromText(data.JSIGR_ENDPOINT_NETWORKS),
    host: data.JSIGR_HOST,
    port: data.JSIGR_PORT,
    ...(data.JSIGR_HEALTH_PORT === undefined ? {} : { healthPort: data.JSIGR_HEALTH_PORT }),
    checkDevice: data.JSIGR_CHECK_DEVICE === 'true',
    ...(tls ? { tls } : {}),
  };
}

/** What a pod shows: projected into a file, read once, because gateway and worker know each other by it from then on. */
function tokenIn(file: string | undefined): string {
  if (!file)
    throw invalidArgument(
      'JSIGR_WORKER_TOKEN',
      'must be the token that the pool gave the worker, or JSIGR_WORKER_TOKEN_FILE a file with one',
    );
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw invalidArgument(
      'JSIGR_WORKER_TOKEN_FILE',
      `cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
}
