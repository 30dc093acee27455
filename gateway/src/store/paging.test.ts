import { JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pageStart } from './paging.ts';
import { type Store, storeOn } from './store.ts';
import { OPENING_MS, onEachDatabase, tickingClock } from './testing.ts';

onEachDatabase((database) => {
  let store: Store;
  const ids: string[] = [];
  beforeAll(async () => {
    store = await storeOn(await database.open(), tickingClock());
    for (let i = 0; i < 5; i++) ids.unshift((await store.runs.create({ kind: 'evaluation', spec: { i } })).id);
  }, OPENING_MS);
  afterAll(() => store.close());

  const violation = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      return JsigrError.from(error).violations[0]?.field;
    }
    return undefined;
  };

  describe('pages', () => {
    for (const pageSize of [1, 2, 3, 5, 6, 0])
      test(`of ${pageSize || 'the usual size'} give every run once, newest first`, async () => {
        const seen: string[] = [];
        let pageToken = '';
        do {
          const page = await store.runs.list('evaluation', { pageSize, pageToken });
          expect(page.items.length).toBeLessThanOrEqual(pageSize || 50);
          seen.push(...page.items.map(({ id }) => id));
          pageToken = page.nextPageToken;
        } while (pageToken);
        expect(seen).toEqual(ids);
      });

    test('a run that is made in between does not shift the pages', async () => {
      const { items, nextPageToken } = await store.runs.list('evaluation', { pageSize: 3, pageToken: '' });
      await store.runs.create({ kind: 'evaluation', spec: {} });
      const rest = await store.runs.list('evaluation', { pageSize: 3, pageToken: nextPageToken });
      expect([...items, ...rest.items].map(({ id }) => id)).toEqual(ids);
    });

    test('the token of another list, and what is no token, are refused', async () => {
      const { nextPageToken } = await store.runs.list('evaluation', { pageSize: 1, pageToken: '' });
      expect(violation(() => pageStart('training', { pageSize: 0, pageToken: nextPageToken }))).toBe('pageToken');
      expect(violation(() => pageStart('training', { pageSize: 0, pageToken: 'x' }))).toBe('pageToken');
    });

    for (const pageSize of [-1, 1001, 1.5, Number.NaN])
      test(`a page size of ${pageSize} is refused`, () => {
        expect(violation(() => pageStart('training', { pageSize, pageToken: '' }))).toBe('pageSize');
      });
  });
});
