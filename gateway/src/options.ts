import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  type ComputeOptions,
  createLogger,
  DEVICE_CHOICES,
  ENGINE_CHOICES,
  type Logger,
  type WorkerKindName,
} from '@jsigr/service';
import { Violations } from './application/violations.ts';
import { checkHost } from './loopback.ts';

export interface GatewayOptions {
  /** Folder of database, artefacts and lock; made (0700) if it is not there. */
  readonly dataDirectory: string;
  /** 127.0.0.1 unless told; only addresses of this machine. */
  readonly host?: string;
  /** 7460 unless told; 0: any free port. */
  readonly grpcPort?: number;
  /** 7461 unless told; 0: any free port; null: no HTTP face. */
  readonly httpPort?: number | null;
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
  readonly log?: Logger;
  /** Program of each kind of worker; those of this installation unless told. */
  readonly workerEntry?: (kind: WorkerKindName) => string;
}

/** The options with their defaults. */
export type Settings = ReturnType<typeof settingsOf>;

/** @throws JsigrError INVALID_ARGUMENT with a violation for each option that is out of its range. */
export function settingsOf(options: GatewayOptions) {
  const { dataDirectory, host = '127.0.0.1', grpcPort = 7460, httpPort = 7461, idleSeconds = 30 } = options;
  const { threads: cores = availableParallelism(), trainingsAtOnce = 1, workerEntry = installedEntry } = options;
  const { engine = 'auto', device = 'auto' } = options;
  const violations = new Violations();
  if (!dataDirectory) violations.add('dataDirectory', 'is missing');
  violations.integer('grpcPort', grpcPort, 0, 65_535);
  if (httpPort !== null) violations.integer('httpPort', httpPort, 0, 65_535);
  violations.number('idleSeconds', idleSeconds, '0 to 86400', (value) => value >= 0 && value <= 86_400);
  violations.integer('threads', cores, 1, 1024);
  violations.oneOf('engine', engine, ENGINE_CHOICES);
  violations.oneOf('device', device, DEVICE_CHOICES);
  violations.integer('trainingsAtOnce', trainingsAtOnce, 1, 64);
  violations.throwIfAny();
  checkHost(host);
  const logger = options.log ?? createLogger('gateway');
  return {
    dataDirectory,
    host,
    grpcPort,
    httpPort,
    idleSeconds,
    cores,
    engine,
    device,
    trainingsAtOnce,
    workerEntry,
    logger,
  };
}

/** The services lie beside the gateway. */
function installedEntry(kind: WorkerKindName): string {
  return fileURLToPath(new URL(`../../services/${kind}/dist/main.js`, import.meta.url));
}
