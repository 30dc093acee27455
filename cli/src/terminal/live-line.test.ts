import { expect, it } from 'vitest';
import { fakeTerminal } from '../testing/fake-terminal.ts';
import { liveLine, PLAIN_INTERVAL_MS } from './live-line.ts';

const CLEAR = '\r\u001b[2K';

it('on a terminal the line changes in place and is cut at its width', () => {
  const terminal = fakeTerminal({ interactive: true, columns: () => 12 });
  const live = liveLine(terminal);
  live.update('step 1');
  live.update('a longer text than fits');
  expect(terminal.written.err).toBe(`${CLEAR}⠙ step 1${CLEAR}⠹ a longer…`);
  expect(terminal.written.out).toBe('');
});

it('lines that stay go above it, and in the end it is gone', () => {
  const terminal = fakeTerminal({ interactive: true });
  const live = liveLine(terminal);
  live.update('working');
  live.print('epoch 1');
  live.stop();
  live.stop();
  expect(terminal.written.err).toBe(`${CLEAR}⠙ working${CLEAR}${CLEAR}⠹ working${CLEAR}`);
  expect(terminal.written.out).toBe('epoch 1\n');
});

it('in a pipe progress is a plain line now and then, and lines that stay are all there', () => {
  let now = 0;
  const terminal = fakeTerminal({ now: () => now });
  const live = liveLine(terminal);
  for (now = 0; now <= 2 * PLAIN_INTERVAL_MS; now += PLAIN_INTERVAL_MS / 4) live.update(`at ${now}`);
  live.print('epoch 1');
  live.update('right after it');
  live.stop();
  expect(terminal.written.out).toBe('at 0\nat 10000\nat 20000\nepoch 1\n');
  expect(terminal.written.err).toBe('');
});
