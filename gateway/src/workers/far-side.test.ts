import { status } from '@grpc/grpc-js';
import { invalidArgument, JsigrError, unavailable } from '@jsigr/service';
import { describe, expect, it } from 'vitest';
import { explained } from './far-side.ts';

/** As a connection that breaks says it: without a reason of its own. */
const ofConnection = (code: status) => new JsigrError({ code, reason: status[code] ?? '', message: 'it broke' });
const never = new AbortController().signal;

describe('why a call to a worker failed', () => {
  it.each([status.INTERNAL, status.UNKNOWN, status.CANCELLED, status.DEADLINE_EXCEEDED])(
    'is, where the connection says status %s, that the worker cannot be reached: another one may',
    async (code) => {
      expect(await explained(ofConnection(code), never)).toMatchObject({
        code: status.UNAVAILABLE,
        reason: 'WORKER_UNREACHABLE',
        message: expect.stringContaining('it broke'),
      });
    },
  );

  it('is what became of the worker, where that is known', async () => {
    const lost = AbortSignal.abort(unavailable('WORKER_LOST', 'it was killed'));
    expect(await explained(ofConnection(status.UNAVAILABLE), lost)).toMatchObject({ reason: 'WORKER_LOST' });
  });

  it("is the worker's own word, where it has one", async () => {
    const own = [invalidArgument('spec', 'is missing'), unavailable('COMPUTE_THREAD_CLOSED', 'it stops')];
    for (const error of own) expect(await explained(error, never)).toBe(error);
  });
});
