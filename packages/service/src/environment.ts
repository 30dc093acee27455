import * as z from 'zod';
import { type ComputeOptions, DEVICE_CHOICES, ENGINE_CHOICES } from './compute-options.ts';
import { invalidArgument } from './errors.ts';

const port = z.coerce.number().int().min(0).max(65_535);

const workerSchema = z.object({
  JSIGR_GATEWAY: z.string().regex(/^.+:\d+$/, 'must be host:port of the gateway'),
  JSIGR_WORKER_ID: z.string().min(1, 'must be the id that the pool gave the worker').max(200),
  JSIGR_ARTEFACTS: z.string().min(1, 'must be the folder of the artefact store'),
  JSIGR_THREADS: z.coerce.number().int().min(1).max(1024).optional(),
  JSIGR_ENGINE: z.enum(ENGINE_CHOICES).optional(),
  JSIGR_DEVICE: z.enum(DEVICE_CHOICES).optional(),
  JSIGR_HOST: z.string().min(1).default('127.0.0.1'),
  JSIGR_PORT: port.default(0),
});

/** What a worker is told when it is started. */
export interface WorkerConfig {
  /** host:port of the gateway's gRPC server. */
  readonly gateway: string;
  readonly workerId: string;
  /** Folder of the artefact store. */
  readonly artefacts: string;
  readonly compute: ComputeOptions;
  readonly host: string;
  readonly port: number;
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
  return {
    gateway: data.JSIGR_GATEWAY,
    workerId: data.JSIGR_WORKER_ID,
    artefacts: data.JSIGR_ARTEFACTS,
    compute: {
      ...(data.JSIGR_THREADS === undefined ? {} : { threads: data.JSIGR_THREADS }),
      ...(data.JSIGR_ENGINE === undefined ? {} : { engine: data.JSIGR_ENGINE }),
      ...(data.JSIGR_DEVICE === undefined ? {} : { device: data.JSIGR_DEVICE }),
    },
    host: data.JSIGR_HOST,
    port: data.JSIGR_PORT,
  };
}
