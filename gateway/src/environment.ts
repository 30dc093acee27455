import { DEVICE_CHOICES, ENGINE_CHOICES, invalidArgument } from '@jsigr/service';
import * as z from 'zod';
import type { GatewayOptions } from './options.ts';

const port = z.coerce.number().int().min(0).max(65_535);

const schema = z.object({
  JSIGR_DATA_DIRECTORY: z.string('must be the folder of database and artefacts'),
  JSIGR_HOST: z.string().optional(),
  JSIGR_GRPC_PORT: port.optional(),
  JSIGR_HTTP_PORT: z.union([z.literal('none').transform(() => null), port]).optional(),
  JSIGR_IDLE_SECONDS: z.coerce.number().min(0).optional(),
  JSIGR_THREADS: z.coerce.number().int().min(1).optional(),
  JSIGR_ENGINE: z.enum(ENGINE_CHOICES).optional(),
  JSIGR_DEVICE: z.enum(DEVICE_CHOICES).optional(),
});

/** Options of the stand-alone process. @throws JsigrError INVALID_ARGUMENT with a violation for each variable that is missing or wrong. */
export function gatewayOptions(environment: Readonly<Record<string, string | undefined>>): GatewayOptions {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(present);
  if (!parsed.success)
    throw invalidArgument(
      parsed.error.issues.map(({ path, message }) => ({ field: path.map(String).join('.'), description: message })),
    );
  const { data } = parsed;
  return {
    dataDirectory: data.JSIGR_DATA_DIRECTORY,
    ...(data.JSIGR_HOST === undefined ? {} : { host: data.JSIGR_HOST }),
    ...(data.JSIGR_GRPC_PORT === undefined ? {} : { grpcPort: data.JSIGR_GRPC_PORT }),
    ...(data.JSIGR_HTTP_PORT === undefined ? {} : { httpPort: data.JSIGR_HTTP_PORT }),
    ...(data.JSIGR_IDLE_SECONDS === undefined ? {} : { idleSeconds: data.JSIGR_IDLE_SECONDS }),
    ...(data.JSIGR_THREADS === undefined ? {} : { threads: data.JSIGR_THREADS }),
    ...(data.JSIGR_ENGINE === undefined ? {} : { engine: data.JSIGR_ENGINE }),
    ...(data.JSIGR_DEVICE === undefined ? {} : { device: data.JSIGR_DEVICE }),
  };
}
