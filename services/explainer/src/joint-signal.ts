/**
 * A signal that is aborted once all of the given ones are, at least one. It asks them whenever it is asked itself (`aborted`, `throwIfAborted`, `reason`): a batch
 * of engine runs lets no listener run, so `AbortSignal.any` would hear too late, and end the batch of all when one caller goes. Its own listeners are never called.
 */
export function jointSignal(signals: readonly AbortSignal[]): AbortSignal {
  const { signal } = new AbortController();
  const aborted = () => signals.every((each) => each.aborted);
  const reason = () => (aborted() ? signals[0]?.reason : undefined);
  const throwIfAborted = () => {
    if (aborted()) throw reason();
  };
  return Object.defineProperties(signal, {
    aborted: { get: aborted },
    reason: { get: reason },
    throwIfAborted: { value: throwIfAborted },
  });
}
