import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js';
import { unavailable } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

/** The calls that a server has not answered yet. Those that are left when it stops are told so: a cut connection says CANCELLED, after which no client calls again. */
export class OpenCalls {
  readonly #calls = new Set<ServerInterceptingCallInterface>();

  readonly interceptor: ServerInterceptor = (_, call) => {
    this.#calls.add(call);
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: () => void this.#calls.delete(call) }),
      sendStatus: (status, next) => {
        this.#calls.delete(call);
        next(status);
      },
    });
  };

  /** Ends them with UNAVAILABLE, SERVER_STOPPING; their handlers see that they are cancelled. */
  end(): void {
    const { code, details, metadata } = toServiceError(
      unavailable('SERVER_STOPPING', 'the server is stopping', 'call again once it, or another one, is up'),
    );
    for (const call of this.#calls) call.sendStatus({ code, details, metadata });
  }
}
