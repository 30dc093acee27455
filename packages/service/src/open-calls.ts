import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js';
import { unavailable } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

/** The calls that a server has not answered yet. Those that are left when it stops are told so: a cut connection says CANCELLED, after which no client calls again. */
export class OpenCalls {
  readonly #calls = new Set<ServerInterceptingCallInterface>();
  #ended = false;

  /** To be the last of the interceptors: what it ends, the others see like any other end. */
  readonly interceptor: ServerInterceptor = (_, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, forward) => {
            this.#calls.add(call);
            forward(metadata);
          },
          // At the end of every call, however it ends.
          onCancel: () => void this.#calls.delete(call),
        }),
      // After its status a stream takes nothing: what was written then would end it without one.
      sendMessage: (message, next) => {
        if (!this.#ended) next(message);
      },
    });

  /** Ends them with UNAVAILABLE, SERVER_STOPPING; their handlers see that they are cancelled. */
  end(): void {
    this.#ended = true;
    const { code, details, metadata } = toServiceError(
      unavailable('SERVER_STOPPING', 'the server is stopping', 'call again once it, or another one, is up'),
    );
    for (const call of this.#calls) call.sendStatus({ code, details, metadata });
  }
}
