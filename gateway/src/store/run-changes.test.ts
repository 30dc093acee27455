import { expect, test } from 'vitest';
import { RunChanges } from './run-changes.ts';

const RUNS = 30_000;

test('remembers the newest runs, and has those who wait for an older one look for themselves', async () => {
  const changes = new RunChanges();
  const gaps = changes.gaps;
  changes.note('first', 5);
  await changes.after('first', 4);
  for (let i = 0; i < RUNS; i++) changes.note(`run${i}`, 1);
  // What was noted is forgotten; who looked before that does not wait for ever.
  await changes.after('first', 4, { gaps });
  await changes.after(`run${RUNS - 1}`, 0);
  const waiting = new AbortController();
  const forgotten = changes.after('first', 4, { signal: waiting.signal });
  waiting.abort(new Error('it waits'));
  await expect(forgotten).rejects.toThrow('it waits');
});
