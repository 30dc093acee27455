/**
 * What tasks give, in their order, while at most `most` of them are being worked on. The second one begins when somebody asks for more than the first: who wants
 * a little does not have much fetched.
 */
export async function* inOrder<T>(tasks: Iterable<() => Promise<T>>, most: number): AsyncGenerator<T> {
  const waiting: Promise<T>[] = [];
  const rest = tasks[Symbol.iterator]();
  for (let allowed = 1; ; allowed = most) {
    while (waiting.length < allowed) {
      const { done, value: start } = rest.next();
      if (done) break;
      const working = start();
      // Whoever leaves early does not hear of what fails later.
      working.catch(() => undefined);
      waiting.push(working);
    }
    const first = waiting.shift();
    if (first === undefined) return;
    yield await first;
  }
}

/** The same where only the end counts. @throws the first failure, once nothing is being worked on any more. */
export async function allOf<T>(tasks: readonly (() => Promise<T>)[], most: number): Promise<T[]> {
  const results: T[] = [];
  const failures: unknown[] = [];
  const rest = tasks.entries();
  const work = async () => {
    for (const [index, start] of rest) {
      if (failures.length > 0) return;
      try {
        results[index] = await start();
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, tasks.length) }, work));
  if (failures.length > 0) throw failures[0];
  return results;
}
