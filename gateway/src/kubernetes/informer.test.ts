import { createLogger } from '@jsigr/service';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { KubernetesError } from './client.ts';
import { Informer } from './informer.ts';
import { jobs, type KubernetesObject, type WatchEvent } from './types.ts';

const object = (name: string, resourceVersion: string): KubernetesObject => ({ metadata: { name, resourceVersion } });
const event = (type: WatchEvent<KubernetesObject>['type'], name: string, version: string) => ({
  type,
  object: object(name, version),
});

/** What the server does at each list and at each watch, in turn; after the last watch it is quiet. */
interface Script {
  readonly lists: (readonly KubernetesObject[] | Error)[];
  readonly watches: (readonly (ReturnType<typeof event> | Error)[])[];
}

let informer: Informer<KubernetesObject> | undefined;
afterEach(() => informer?.stop());

function follow({ lists, watches }: Script, relistMs = 600_000) {
  const asked: string[] = [];
  const seen: string[] = [];
  const client = {
    namespace: 'default',
    async request<T>(): Promise<T> {
      asked.push('list');
      const items = lists.length > 1 ? lists.shift() : lists[0];
      if (items instanceof Error) throw items;
      return { metadata: { resourceVersion: '10' }, items } as T;
    },
    async *watch<T>(_: unknown, query: Readonly<Record<string, string>>, signal: AbortSignal) {
      asked.push(`watch ${query.resourceVersion}`);
      for (const each of watches.shift() ?? ['quiet'])
        if (each instanceof Error) throw each;
        else if (typeof each !== 'string') yield each as WatchEvent<T>;
        else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  informer = new Informer({ client, collection: jobs, logger: createLogger('test', 'silent'), retryMs: 1, relistMs });
  informer.onChange((name, found) => seen.push(found ? `${name} ${found.metadata?.resourceVersion}` : `${name} gone`));
  informer.start();
  return { asked, seen, informer };
}

describe('an informer', () => {
  test('lists, then follows what changes', async () => {
    const changes = [event('MODIFIED', 'a', '11'), event('ADDED', 'b', '12'), event('DELETED', 'a', '13')];
    const { asked, seen, informer } = follow({ lists: [[object('a', '5')]], watches: [changes] });
    await vi.waitFor(() => expect(asked).toEqual(['list', 'watch 10', 'watch 13']));
    expect(seen).toEqual(['a 5', 'a 11', 'b 12', 'a gone']);
    expect(informer.all().map(({ metadata }) => metadata?.name)).toEqual(['b']);
  });

  const failures: readonly (readonly [string, Error])[] = [
    ['410 Gone', new KubernetesError(410, 'Expired', 'too old resource version')],
    ['500', new KubernetesError(500, 'InternalError', 'etcd is away')],
    ['403 Forbidden', new KubernetesError(403, 'Forbidden', 'not yet')],
    ['a connection that is cut', new Error('socket hang up')],
    ['a line that is no JSON', new SyntaxError('Unexpected end of JSON input')],
  ];
  test.each(failures)('goes on after %s, and finds what it missed', async (_, failure) => {
    const lists = [[object('a', '5'), object('b', '6')], [object('b', '20')]];
    const { asked, seen } = follow({ lists, watches: [[failure]] });
    await vi.waitFor(() => expect(asked).toEqual(['list', 'watch 10', 'list', 'watch 10']));
    expect(seen).toEqual(['a 5', 'b 6', 'a gone', 'b 20']);
  });

  test('goes on after a list that fails, again and again', async () => {
    const away = new KubernetesError(0, 'Unreachable', 'refused');
    const { seen, informer } = follow({ lists: [away, away, away, [object('a', '5')]], watches: [] });
    expect(informer.synced).toBe(false);
    await vi.waitFor(() => expect(seen).toEqual(['a 5']));
    expect(informer.synced).toBe(true);
  });

  test('a bookmark moves the place where it goes on, and is no change', async () => {
    const { asked, seen } = follow({ lists: [[]], watches: [[event('BOOKMARK', '', '99')]] });
    await vi.waitFor(() => expect(asked).toEqual(['list', 'watch 10', 'watch 99']));
    expect(seen).toEqual([]);
  });

  test('lists again now and then, although the watch is quiet', async () => {
    const { asked, seen } = follow({ lists: [[object('a', '5')]], watches: [] }, 20);
    await vi.waitFor(() => expect(asked.filter((each) => each === 'list').length).toBeGreaterThan(2));
    expect(seen.length).toBeGreaterThan(2);
  });
});
