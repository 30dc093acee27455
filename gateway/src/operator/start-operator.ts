import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { whileLeading } from '../kubernetes/leader.ts';
import { Operator, type OperatorOptions } from './operator.ts';

const LEASE = 'jsigr-operator';

export interface StartOperatorOptions extends OperatorOptions {
  /** Of the lease, in seconds: how long after a leader's death another one takes over. */
  readonly leaseSeconds?: number;
}

/** An operator that works while it leads, of all that are started in its namespace. */
export function startOperator(options: StartOperatorOptions): { stop(): Promise<void> } {
  const { client, logger, leaseSeconds } = options;
  const stopping = new AbortController();
  const identity = `${hostname()}-${randomUUID().slice(0, 8)}`;
  const lease = { client, name: LEASE, identity, logger, ...(leaseSeconds ? { durationSeconds: leaseSeconds } : {}) };
  const leading = whileLeading(lease, stopping.signal, async (signal) => {
    const operator = new Operator(options);
    operator.start();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await operator.stop();
  });
  return {
    async stop() {
      stopping.abort(new DOMException('the gateway stops', 'AbortError'));
      await leading;
    },
  };
}
