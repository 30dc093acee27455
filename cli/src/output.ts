import type { Context, GlobalOptions } from './context.ts';
import { type LiveLine, liveLine, noLine } from './terminal/live-line.ts';

/** The part of a generated message type that JSON output needs. */
export interface JsonOf<T> {
  readonly toJSON: (message: T) => unknown;
}

/** Where a command's results go, as text or as JSON. */
export interface Output {
  /** One response: its proto JSON, or the text that `text` makes of it. */
  readonly show: <T>(type: JsonOf<T>, message: T, text: (message: T) => string) => void;
  /** One message of a stream: a JSON line; nothing as text (the live line shows it). */
  readonly line: <T>(type: JsonOf<T>, message: T) => void;
  /** Text for people only. */
  readonly say: (text: string) => void;
  readonly live: LiveLine;
}

export function outputOf({ output }: GlobalOptions, { terminal }: Context): Output {
  if (output === 'json')
    return {
      show: (type, message) => terminal.out(`${JSON.stringify(type.toJSON(message), undefined, 2)}\n`),
      line: (type, message) => terminal.out(`${JSON.stringify(type.toJSON(message))}\n`),
      say: () => {},
      live: noLine,
    };
  return {
    show: (_, message, text) => terminal.out(text(message)),
    line: () => {},
    say: (text) => terminal.out(`${text}\n`),
    live: liveLine(terminal),
  };
}

/** The same without lines that stay: what they say is on the live line for a moment. */
export function fleeting(output: Output): Output {
  const { live } = output;
  return { ...output, live: { ...live, print: live.update } };
}
