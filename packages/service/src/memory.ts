import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

interface Collection {
  /** minor: buffers and objects that died young, a few milliseconds; major: all, some tenths of a second. */
  readonly type: 'minor' | 'major';
  /** last-resort: what is free afterwards is given back to the system. */
  readonly flavor?: 'regular' | 'last-resort';
}

let collect: ((collection: Collection) => void) | undefined;

/** Collects garbage now, where V8 would wait longer than a process that shares its machine should. */
export function collectGarbage(collection: Collection): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as typeof collect;
    setFlagsFromString('--no-expose-gc');
  }
  collect?.(collection);
}

const IDLE_MS = 5000;

/** Once the start of a process is over: loading its programs leaves more garbage (a hundred megabytes) than it will make for a long time. */
export function forgetStart(): void {
  setTimeout(() => collectGarbage({ type: 'major', flavor: 'last-resort' }), IDLE_MS).unref();
}
