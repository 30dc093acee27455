import { expect, test } from 'vitest';
import { importers, knownDatasets } from './registry.ts';

test('every row is filed under its own name', () => {
  for (const [name, row] of [...Object.entries(importers), ...Object.entries(knownDatasets)])
    expect(row.name).toBe(name);
});

test.each(Object.values(knownDatasets))(
  '$name makes a dataset of that name, in the size asked for',
  ({ name, make }) => {
    const dataset = make({ train: 20, test: 10 });
    expect([dataset.name, dataset.train.count, dataset.test.count]).toEqual([name, 20, 10]);
  },
);
