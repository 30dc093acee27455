import { Condition } from '@jsigr/service';

/** Something that happened; of those of one type only the latest matters. */
interface Happening {
  readonly type: string;
}

type Message<T, Event> = { readonly event: Event } | { readonly result: T };

/** What happens during some work now and then (never more than the caller takes), then its result. @throws what the work throws; the signal's reason. */
export async function* progressing<T, Event extends Happening>(
  work: (tell: (event: Event) => void) => Promise<T>,
  signal: AbortSignal,
): AsyncGenerator<Message<T, Event>> {
  const changed = new Condition();
  let news = new Map<string, Event>();
  let end: { readonly result: T } | { readonly error: unknown } | undefined;
  void work((event) => {
    news.set(event.type, event);
    changed.notify();
  })
    .then(
      (result) => {
        end = { result };
      },
      (error) => {
        end = { error };
      },
    )
    .then(() => changed.notify());
  for (;;) {
    await changed.until(() => news.size > 0 || end !== undefined, { signal });
    const [told, last] = [[...news.values()], end];
    news = new Map();
    for (const event of told) yield { event };
    if (last && 'error' in last) throw last.error;
    if (last) return yield last;
  }
}
