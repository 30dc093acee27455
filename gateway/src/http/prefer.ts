/**
 * Milliseconds that a client would wait for an answer, of its header `Prefer: wait=SECONDS` (RFC 7240, 4.3): over HTTP calls have no deadline of their own.
 * undefined where it says nothing that can be understood, as that RFC asks.
 */
export function waitOf(prefer: string | undefined): number | undefined {
  const preferences = prefer?.toLowerCase().split(/[,;]/) ?? [];
  const [seconds] = preferences.flatMap((each) => /^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/.exec(each)?.[1] ?? []);
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
