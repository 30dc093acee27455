import { expect, test } from 'vitest';
import { Lru } from './lru.ts';

test('an LRU keeps what was used last', () => {
  const evicted: number[] = [];
  const lru = new Lru<number>(2, (value) => evicted.push(value));
  lru.set('a', 1);
  lru.set('b', 2);
  lru.get('a');
  lru.set('c', 3);
  expect([lru.get('a'), lru.get('b'), lru.get('c'), evicted]).toEqual([1, undefined, 3, [2]]);
});
