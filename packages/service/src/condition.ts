/** Waiting for something that other code brings about: whoever changes the state calls `notify`, whoever waits has its condition looked at again. */
export class Condition {
  readonly #waiting = new Set<() => void>();

  notify(): void {
    for (const look of [...this.#waiting]) look();
  }

  /**
   * Resolves with true once the predicate holds, with false after `timeoutMs`.
   * @throws the signal's reason once it is aborted.
   */
  async until(
    predicate: () => boolean,
    { signal, timeoutMs }: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<boolean> {
    signal?.throwIfAborted();
    if (predicate()) return true;
    let timer: NodeJS.Timeout | undefined;
    let look = () => {};
    let abort = () => {};
    try {
      return await new Promise<boolean>((resolve, reject) => {
        look = () => predicate() && resolve(true);
        abort = () => reject(signal?.reason);
        this.#waiting.add(look);
        signal?.addEventListener('abort', abort, { once: true });
        if (timeoutMs !== undefined) timer = setTimeout(() => resolve(false), timeoutMs);
      });
    } finally {
      this.#waiting.delete(look);
      signal?.removeEventListener('abort', abort);
      clearTimeout(timer);
    }
  }
}
