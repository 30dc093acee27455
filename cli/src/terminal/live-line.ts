import { stripVTControlCharacters } from 'node:util';
import type { Terminal } from './terminal.ts';

const CLEAR = '\r\u001b[2K';
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Shortest time between a plain line of progress and the line before it where nobody watches, in milliseconds. */
export const PLAIN_INTERVAL_MS = 10_000;

/** One line that changes in place, on a terminal; now and then a plain line, in a pipe. */
export interface LiveLine {
  /** What is going on at the moment. */
  readonly update: (text: string) => void;
  /** A line that stays, above the live one. */
  readonly print: (text: string) => void;
  /** Takes the live line away. */
  readonly stop: () => void;
}

export function liveLine(terminal: Terminal): LiveLine {
  return terminal.interactive ? inPlace(terminal) : plain(terminal);
}

/** Shows nothing: for JSON output. */
export const noLine: LiveLine = { update: () => {}, print: () => {}, stop: () => {} };

function inPlace({ out, err, columns }: Terminal): LiveLine {
  let frame = 0;
  let shown = '';
  const draw = (text: string): void => {
    shown = text;
    frame = (frame + 1) % FRAMES.length;
    err(CLEAR + cut(`${FRAMES[frame]} ${text}`, columns()));
  };
  return {
    update: draw,
    print: (text) => {
      if (shown) err(CLEAR);
      out(`${text}\n`);
      if (shown) draw(shown);
    },
    stop: () => {
      if (shown) err(CLEAR);
      shown = '';
    },
  };
}

function plain({ out, now }: Terminal): LiveLine {
  let last = Number.NEGATIVE_INFINITY;
  return {
    update: (text) => {
      if (now() - last < PLAIN_INTERVAL_MS) return;
      last = now();
      out(`${text}\n`);
    },
    print: (text) => {
      last = now();
      out(`${text}\n`);
    },
    stop: () => {},
  };
}

// One column stays free: a full line makes some terminals wrap.
function cut(text: string, columns: number): string {
  const bare = stripVTControlCharacters(text);
  return bare.length < columns ? text : `${bare.slice(0, Math.max(0, columns - 2))}…`;
}
