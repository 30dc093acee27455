import { createHmac } from 'node:crypto';
import { sameSecret } from '@jsigr/service';
import type { Caller } from '../access/caller.ts';

/**
 * What the gateway and the workers that it starts know each other by: codes made of one secret and the worker's id, so that a gateway that was
 * started again still knows its workers.
 */
export class WorkerCredentials {
  readonly #secret: Buffer;
  #others: (token: string) => Promise<Caller | undefined> = async () => undefined;

  /** @param secret 32 random bytes that outlive the gateway */
  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** The token of a worker: it shows it to the gateway, and the gateway shows it to the worker. */
  worker(id: string): string {
    return `worker.${id}.${this.#code('worker', id)}`;
  }

  /** With this a run's attacker is let in by the run's trainer. */
  follower(run: string): string {
    return this.#code('follower', run);
  }

  /** Workers that others start show tokens of others (a pod one of Kubernetes'): this is asked about them. */
  alsoBy(others: (token: string) => Promise<Caller | undefined>): void {
    this.#others = others;
  }

  /** The worker whose token this is; undefined for anything else. */
  async verify(token: string): Promise<Caller | undefined> {
    return this.verifyOwn(token) ?? this.#others(token);
  }

  /** The same for tokens that were made here: nobody has to be asked. */
  verifyOwn(token: string): Caller | undefined {
    const [, id] = /^worker\.([A-Za-z0-9-]{1,100})\./.exec(token) ?? [];
    return id !== undefined && sameSecret(token, this.worker(id))
      ? { subject: `worker/${id}`, role: 'worker', tenant: '' }
      : undefined;
  }

  #code(purpose: string, name: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose} ${name}`).digest('base64url');
  }
}
