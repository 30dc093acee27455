import { text } from 'node:stream/consumers';
import { styleText } from 'node:util';

/** What a command sees of the world around it; tests pass their own. */
export interface Terminal {
  /** Results: written to standard output as they are. */
  readonly out: (text: string) => void;
  /** Errors and the live line: written to standard error as they are. */
  readonly err: (text: string) => void;
  /** Is there somebody to look at a live line? */
  readonly interactive: boolean;
  /** Width of the live line's terminal. */
  readonly columns: () => number;
  /** All of standard input, to its end. */
  readonly input: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that relative paths of the command line start from. */
  readonly directory: string;
  /** Milliseconds, for throttling. */
  readonly now: () => number;
  /** Resolves after so many milliseconds. */
  readonly wait: (milliseconds: number) => Promise<void>;
  /** Bold, where standard output is a terminal that wants it. */
  readonly bold: (text: string) => string;
  /**
   * Calls `handler` at each Ctrl-C (and SIGTERM) until the returned function is called. Of several handlers only the newest is
   * called; without any, the process ends as usual.
   */
  readonly onInterrupt: (handler: () => void) => () => void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const handlers: (() => void)[] = [];
  const interrupt = (): void => handlers.at(-1)?.();
  return {
    out: (written) => process.stdout.write(written),
    err: (written) => process.stderr.write(written),
    interactive: process.stderr.isTTY === true,
    columns: () => process.stderr.columns || 80, // a terminal that does not know its width says 0
    input: () => text(process.stdin),
    env: process.env,
    directory: process.cwd(),
    now: () => Date.now(),
    wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    bold: (plain) => styleText('bold', plain),
    onInterrupt: (handler) => {
      if (handlers.length === 0) for (const signal of SIGNALS) process.on(signal, interrupt);
      handlers.push(handler);
      return () => {
        const at = handlers.lastIndexOf(handler);
        if (at >= 0) handlers.splice(at, 1);
        if (handlers.length === 0) for (const signal of SIGNALS) process.off(signal, interrupt);
      };
    },
  };
}
