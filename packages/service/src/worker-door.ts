import { type Admit, sameSecret, tokenOf } from './admission.ts';
import { unauthenticated } from './errors.ts';

/** Anybody may ask how a worker is: probes have no secrets. */
const OPEN = 'grpc.health.v1.Health/';

/** Who may call a worker: the gateway that started it, with the worker's own token, and for some methods one guest. */
export class WorkerDoor {
  readonly #token: string;
  #guest: { readonly token: string; readonly methods: readonly string[] } | undefined;

  constructor(token: string) {
    this.#token = token;
  }

  /** From now on this token opens these methods too (e.g. `jsigr.v1.TrainerService/StreamCheckpoints`); the guest before is forgotten. */
  invite(token: string, methods: readonly string[]): void {
    this.#guest = token ? { token, methods } : undefined;
  }

  /** @throws JsigrError UNAUTHENTICATED */
  readonly admit: Admit = ({ method, metadata }) => {
    if (method.startsWith(OPEN)) return;
    const token = tokenOf(metadata) ?? '';
    if (sameSecret(token, this.#token)) return;
    const guest = this.#guest;
    if (guest?.methods.includes(method) && sameSecret(token, guest.token)) return;
    throw unauthenticated('NOT_THE_GATEWAY', 'a worker answers the gateway that started it, and whom that one sends');
  };
}
