import { createHash, timingSafeEqual } from 'node:crypto';
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { toServiceError } from './grpc-errors.ts';

/** A call of which nothing but its head was read. */
export interface IncomingCall {
  /** Service and method, e.g. `jsigr.v1.TrainerService/StartTraining`. */
  readonly method: string;
  /** The very object that the handler gets. */
  readonly metadata: Metadata;
  /** IP address of the caller, or of the proxy that it comes through. */
  readonly address: string;
}

/** Lets a call in, or throws what the caller is told. */
export type Admit = (call: IncomingCall) => void | Promise<void>;

/** Asks about every call of a server, health and reflection included, before any message of it is read. */
export function admission(admit: Admit): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, forward) {
            const asked = (async () => admit({ method: path.slice(1), metadata, address: addressOf(call) }))();
            asked.then(
              () => forward(metadata),
              (error) => {
                const { code, details, metadata: trailers } = toServiceError(error);
                call.sendStatus({ code, details, metadata: trailers });
              },
            );
          },
        }),
    });
}

/** grpc-js says `address:port`, of IPv6 without brackets. */
function addressOf(call: { getPeer(): string }): string {
  return call.getPeer().replace(/:\d+$/, '');
}

/** The token of `authorization: Bearer ...`; undefined where there is none, or something else. */
export function bearerToken(header: unknown): string | undefined {
  return typeof header === 'string' ? /^bearer +([\x21-\x7e]+)$/i.exec(header)?.[1] : undefined;
}

export function tokenOf(metadata: Metadata): string | undefined {
  return bearerToken(metadata.get('authorization').at(-1));
}

/** Compares secrets in a time that says nothing about them. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
