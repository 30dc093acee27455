/** Looks in a deadline: silence is seen a tenth of it later at most. */
const LOOKS = 10;

/**
 * Looks at a number in shared memory that a thread changes at every sign of life; calls `onSilence` once it has not changed for `deadlineMs`. Looks without
 * a change are counted, not time: whoever was suspended together with the thread did not hear it, and the thread was not silent.
 * @returns ends the watch
 */
export function watchSigns(signs: Int32Array, deadlineMs: number, onSilence: () => void): () => void {
  let seen = Atomics.load(signs, 0);
  let quiet = 0;
  const timer = setInterval(() => {
    const now = Atomics.load(signs, 0);
    quiet = now === seen ? quiet + 1 : 0;
    seen = now;
    if (quiet < LOOKS) return;
    clearInterval(timer);
    onSilence();
  }, deadlineMs / LOOKS).unref();
  return () => clearInterval(timer);
}
