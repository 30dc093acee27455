import { ServerInterceptingCall, type ServerInterceptor, type ServiceDefinition } from '@grpc/grpc-js';
import { invalidArgument } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

/** A message that is none: grpc-js would call that INTERNAL, but it is the caller's mistake. */
class Malformed {
  readonly why: string;
  constructor(error: unknown) {
    this.why = error instanceof Error ? error.message : String(error);
  }
}

/** The definition with readers that give `Malformed` instead of throwing; `refuseMalformed` answers it. */
export function tolerant(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]) => {
    const requestDeserialize = (bytes: Buffer): unknown => {
      try {
        return method.requestDeserialize(bytes);
      } catch (error) {
        return new Malformed(error);
      }
    };
    return [name, { ...method, requestDeserialize }];
  });
  return Object.fromEntries(methods) as ServiceDefinition;
}

/** Answers INVALID_ARGUMENT to bytes that are no message of the method. */
export const refuseMalformed: ServerInterceptor = (_, call) =>
  new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMessage(message, forward) {
          if (!(message instanceof Malformed)) return forward(message);
          const { code, details, metadata } = toServiceError(
            invalidArgument('', `the bytes are no message of this method: ${message.why}`),
          );
          call.sendStatus({ code, details, metadata });
        },
      }),
  });
