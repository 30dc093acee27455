import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  type ComputeOptions,
  createLogger,
  DEVICE_CHOICES,
  ENGINE_CHOICES,
  isS3,
  type Logger,
  type S3Settings,
  s3Address,
  type TlsFiles,
  type WorkerKindName,
} from '@jsigr/service';
import { AddressGuard } from '@jsigr/service/inference';
import type { Limits } from './access/limits.ts';
import type { AccessSettings } from './access/sign-in.ts';
import { Violations } from './application/violations.ts';

export interface GatewayOptions {
  /** Folder of database, artefacts and lock; made (0700) if it is not there. */
  readonly dataDirectory: string;
  /** A PostgreSQL server instead of the embedded one in the data directory, e.g. postgres://user:password@host:5432/database. */
  readonly databaseUrl?: string;
  /** What all artefacts together may have, in bytes; no limit unless told. */
  readonly artefactBytes?: number;
  /** Where models, datasets and ledgers lie: a folder, or s3://bucket/prefix; in the data directory unless told. */
  readonly artefacts?: string;
  /** How the S3 server is reached; credentials come from the environment of AWS alone. */
  readonly s3?: S3Settings;
  /** 127.0.0.1 unless told; an address that others can reach only where callers sign in. */
  readonly host?: string;
  /** 7460 unless told; 0: any free port. */
  readonly grpcPort?: number;
  /** 7461 unless told; 0: any free port; null: no HTTP face. */
  readonly httpPort?: number | null;
  /** Port of a server beside the gRPC one that only says whether it serves, not encrypted; none unless told. 0: any free port. */
  readonly healthPort?: number;
  /** Seconds that a worker without work is kept, 30 unless told; explainers are kept ten times as long. */
  readonly idleSeconds?: number;
  /** Cores for all workers together; all there are unless told. */
  readonly threads?: number;
  /** Engine of all workers; auto unless told. */
  readonly engine?: ComputeOptions['engine'];
  /** Device of all workers; auto unless told. */
  readonly device?: ComputeOptions['device'];
  /** Training runs at once, 1 unless told; the others wait in order. */
  readonly trainingsAtOnce?: number;
  /** How often a run whose worker was lost is begun again without having come further since; 3 unless told. */
  readonly retries?: number;
  /** How often a run in progress keeps what it could go on from, in seconds; 30 unless told. */
  readonly stateSeconds?: number;
  /** How long a worker's computing thread may give no sign of life before it is ended and its run begun again, in seconds; 1800 unless told, 0: for ever. */
  readonly silenceSeconds?: number;
  /** How long a worker's lease lasts unless it is renewed, in seconds; 20 unless told. */
  readonly leaseSeconds?: number;
  /** How long a stop waits for workers to hand their runs back, in seconds; 8 unless told. */
  readonly graceSeconds?: number;
  /** Private networks (CIDR notation) in which live endpoints may be asked; none unless told. */
  readonly endpointNetworks?: readonly string[];
  /** How callers sign in; with a file of tokens in the data directory unless told. Nobody has to while there is none of this. */
  readonly access?: AccessSettings;
  /** What one tenant may ask for at once; `DEFAULT_LIMITS` where not told. */
  readonly limits?: Partial<Limits>;
  /** Certificates of gateway and workers; nothing is encrypted without. */
  readonly tls?: TlsFiles;
  /** Where workers come from: processes of this machine, unless told, or pods of a Kubernetes namespace. */
  readonly workers?: 'processes' | 'kubernetes';
  /** host:port of the gateway as workers reach it, where that is not the address that it listens on. */
  readonly advertisedAddress?: string;
  /** Image of workers that are pods, with `{kind}` for trainer or attacker; `jsigr-{kind}` unless told. */
  readonly workerImage?: string;
  /** Evaluations at once, 1 unless told; the others wait in order. */
  readonly evaluationsAtOnce?: number;
  /** Make runs of the TrainingRuns and RobustnessEvaluations of a Kubernetes namespace. */
  readonly operator?: boolean;
  /** Of the custom resources and of worker Jobs; that of the pod or of the kubeconfig's context unless told. */
  readonly namespace?: string;
  /** It ends with the command that starts it: other commands that find it may outlive it. */
  readonly embedded?: boolean;
  readonly log?: Logger;
  /** Program of each kind of worker; those of this installation unless told. */
  readonly workerEntry?: (kind: WorkerKindName) => string;
}

const MOST_AT_ONCE = 512;

/** Of `silenceSeconds`: shorter than a thread takes to start makes no sense. */
export const SILENCE_RANGE = '0, or 1 to 86400';
export const isSilence = (seconds: number) => seconds === 0 || (seconds >= 1 && seconds <= 86_400);

/** The options with their defaults. */
export type Settings = ReturnType<typeof settingsOf>;

/** @throws JsigrError INVALID_ARGUMENT with a violation for each option that is out of its range. */
export function settingsOf(options: GatewayOptions) {
  const { dataDirectory, host = '127.0.0.1', grpcPort = 7460, httpPort = 7461, idleSeconds = 30 } = options;
  const {
    engine = 'auto',
    device = 'auto',
    access = {},
    databaseUrl,
    artefactBytes,
    artefacts,
    s3,
    tls,
    limits = {},
    endpointNetworks = [],
  } = options;
  const { retries = 3, stateSeconds = 30, leaseSeconds = 20, graceSeconds = 8, silenceSeconds = 1800 } = options;
  const { threads: cores = availableParallelism(), workerEntry = installedEntry } = options;
  const {
    operator = false,
    embedded = false,
    healthPort,
    namespace,
    advertisedAddress,
    workerImage = 'jsigr-{kind}',
  } = options;
  const { workers = 'processes', evaluationsAtOnce = workers === 'kubernetes' ? MOST_AT_ONCE : 1 } = options;
  // Where there is a scheduler, it says what waits.
  const { trainingsAtOnce = workers === 'kubernetes' ? MOST_AT_ONCE : 1 } = options;
  const violations = new Violations();
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl))
    violations.add('databaseUrl', 'must begin with postgres://');
  if (artefacts !== undefined && isS3(artefacts)) violations.try('artefacts', () => s3Address(artefacts));
  else if (s3 !== undefined) violations.add('s3', 'is for artefacts that lie in s3://bucket/prefix');
  if (!dataDirectory) violations.add('dataDirectory', 'is missing');
  violations.integer('grpcPort', grpcPort, 0, 65_535);
  if (httpPort !== null) violations.integer('httpPort', httpPort, 0, 65_535);
  if (healthPort !== undefined) violations.integer('healthPort', healthPort, 0, 65_535);
  violations.number('idleSeconds', idleSeconds, '0 to 86400', (value) => value >= 0 && value <= 86_400);
  if (artefactBytes !== undefined) violations.integer('artefactBytes', artefactBytes, 1, Number.MAX_SAFE_INTEGER);
  violations.integer('threads', cores, 1, 1024);
  violations.oneOf('engine', engine, ENGINE_CHOICES);
  violations.oneOf('device', device, DEVICE_CHOICES);
  violations.integer('retries', retries, 0, 100);
  for (const [name, value, least] of [
    ['stateSeconds', stateSeconds, 0],
    ['leaseSeconds', leaseSeconds, 1],
    ['graceSeconds', graceSeconds, 0],
  ] as const)
    violations.number(name, value, `${least} to 86400`, (seconds) => seconds >= least && seconds <= 86_400);
  violations.number('silenceSeconds', silenceSeconds, SILENCE_RANGE, isSilence);
  violations.try('endpointNetworks', () => new AddressGuard(endpointNetworks));
  if (tls && !(tls.certificate && tls.key && tls.ca))
    violations.add(
      'tls',
      'certificate, key and ca go together: gateway and workers show the one, and believe the other',
    );
  violations.integer('trainingsAtOnce', trainingsAtOnce, 1, MOST_AT_ONCE);
  violations.integer('evaluationsAtOnce', evaluationsAtOnce, 1, MOST_AT_ONCE);
  violations.oneOf('workers', workers, ['processes', 'kubernetes']);
  if (advertisedAddress !== undefined && !/^.+:\d+$/.test(advertisedAddress))
    violations.add('advertisedAddress', 'must be host:port');
  if (access.failedSignInsPerMinute !== undefined)
    violations.integer('access.failedSignInsPerMinute', access.failedSignInsPerMinute, 1, 1_000_000);
  violations.throwIfAny();
  const logger = options.log ?? createLogger('gateway');
  return {
    dataDirectory,
    databaseUrl,
    artefactBytes,
    artefacts,
    s3,
    host,
    grpcPort,
    httpPort,
    healthPort,
    idleSeconds,
    cores,
    engine,
    device,
    trainingsAtOnce,
    retries,
    stateSeconds,
    silenceSeconds,
    leaseMs: leaseSeconds * 1000,
    graceMs: graceSeconds * 1000,
    evaluationsAtOnce,
    workers,
    advertisedAddress,
    workerImage,
    embedded,
    operator,
    namespace,
    workerEntry,
    endpointNetworks,
    access,
    tls,
    limits,
    logger,
  };
}

/** The services lie beside the gateway. */
function installedEntry(kind: WorkerKindName): string {
  return fileURLToPath(new URL(`../../services/${kind}/dist/main.js`, import.meta.url));
}
