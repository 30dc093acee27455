import { expect, it } from 'vitest';
import { properties, table } from './table.ts';

it('columns are as wide as their widest cell, numbers stand at the right', () => {
  const text = table(
    [{ title: 'ATTACK' }, { title: 'SECONDS', align: 'right' }],
    [
      ['fgsm', '0.1'],
      ['integrated', '12345.6'],
    ],
  );
  expect(text).toBe('ATTACK      SECONDS\nfgsm            0.1\nintegrated  12345.6\n');
});

it('colours take no width', () => {
  const bold = (text: string): string => `\u001b[1m${text}\u001b[22m`;
  const text = table([{ title: 'A' }, { title: 'B' }], [[bold('xyz'), '1']], bold);
  expect(text).toBe('\u001b[1mA\u001b[22m    \u001b[1mB\u001b[22m\n\u001b[1mxyz\u001b[22m  1\n');
});

it('without rows the headings are there', () => expect(table([{ title: 'A' }, { title: 'B' }], [])).toBe('A  B\n'));

it('properties without a value are left out', () =>
  expect(
    properties([
      ['run', 'x'],
      ['settings', ''],
      ['state', 'done'],
    ]),
  ).toBe('run    x\nstate  done\n'));
