/**
 * Loaded into the gateway and its workers by `--import`, so that nothing of the chaos test is in the product: their clock jumps, and what they connect to is reached through
 * the chaos test's proxy, which is told where to in a first line.
 */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';

const { JSIGR_CHAOS_CLOCK: clock, JSIGR_CHAOS_PROXY: proxy } = process.env;
/** How old what is known of the clock's offset may be, in milliseconds: asking the file at every `Date.now()` would be slow. */
const OFFSET_MS = 20;

if (clock) jumpAs(clock);
if (proxy) detourBy(proxy);

/** @param path file with the milliseconds by which the wall clock is wrong; timers and `performance.now()` stay right, as on a real machine */
function jumpAs(path: string): void {
  const RealDate = Date;
  const realNow = Date.now;
  let [offset, read] = [0, Number.NEGATIVE_INFINITY];
  const now = () => {
    if (performance.now() - read > OFFSET_MS) {
      read = performance.now();
      try {
        offset = Number(readFileSync(path, 'utf8')) || 0;
      } catch {
        // it is being written: the next call reads it
      }
    }
    return realNow() + offset;
  };
  const jumping: DateConstructor = new Proxy(RealDate, {
    apply: () => new RealDate(now()).toString(),
    construct: (target, given, made) =>
      Reflect.construct(target, given.length === 0 ? [now()] : given, made === jumping ? target : made),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
  RealDate.prototype.constructor = jumping;
  globalThis.Date = jumping;
}

interface Place {
  readonly port?: number | string;
  readonly host?: string;
  readonly path?: string;
}
type Connect = (this: Socket, ...given: unknown[]) => Socket;

function detourBy(address: string): void {
  const [host, port] = address.split(':');
  const connect = Socket.prototype.connect as Connect;
  const detour: Connect = function (...given) {
    const [first, second] = given;
    // `net.connect` hands on its arguments as a list that it made sense of; its first entry are the options.
    const listed = Array.isArray(first) ? (first as unknown[]) : undefined;
    const options = listed ? listed[0] : first;
    const place = (typeof options === 'object' ? options : { port: options, host: second }) as Place;
    if (place.path || !place.port || String(place.port) === port) return connect.apply(this, given);
    const redirected = { ...place, host, port: Number(port) };
    if (listed) listed[0] = redirected;
    connect.apply(this, listed ? given : [redirected, ...given.filter((each) => typeof each === 'function')]);
    this.write(`${place.host ?? '127.0.0.1'}:${place.port}\n`);
    return this;
  };
  Socket.prototype.connect = detour as typeof Socket.prototype.connect;
}
