import type { Terminal } from '../terminal/terminal.ts';

export interface FakeTerminal extends Terminal {
  /** What was written so far. */
  readonly written: { out: string; err: string };
  /** Presses Ctrl-C. */
  readonly interrupt: () => void;
  /** Waits that were asked for, in milliseconds; none of them takes any time. */
  readonly waits: number[];
}

/** A terminal of a test: time stands still unless `now` says otherwise, nothing is coloured. */
export function fakeTerminal(options: Partial<Terminal> = {}): FakeTerminal {
  const written = { out: '', err: '' };
  const waits: number[] = [];
  const handlers: (() => void)[] = [];
  return {
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    interactive: false,
    columns: () => 80,
    input: async () => '',
    env: {},
    directory: '/',
    now: () => 0,
    wait: async (milliseconds) => {
      waits.push(milliseconds);
    },
    bold: (text) => text,
    onInterrupt: (handler) => {
      handlers.push(handler);
      return () => {
        handlers.splice(handlers.lastIndexOf(handler), 1);
      };
    },
    ...options,
    written,
    waits,
    interrupt: () => handlers.at(-1)?.(),
  };
}
