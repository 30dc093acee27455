import { expect, test } from 'vitest';
import { cellsOf } from './cells.ts';
import type { Profile } from './profile.ts';
import { publishedSection } from './published-section.ts';
import { madeUp, profile } from './testing.ts';

const mnist: Profile = { ...profile, dataset: 'mnist' };
const lines = (change?: Parameters<typeof madeUp>[0]) =>
  publishedSection(mnist, cellsOf(mnist, madeUp(change))).split('\n');

test('published figures stand beside ours of the same radius, marked as theirs', () => {
  const page = lines({ 'J-SIGR': { plain: 30 } });
  expect(page).toContain('| model | attack | clean | transferred linf 0.1 | masking | setting |');
  expect(page.find((line) => line.includes('double backpropagation'))).toMatch(
    /^\| \*theirs:\* double backpropagation \| FGSM on one standard model \| 99\.4 \| 98\.4 \| not known \| .*Ross and Doshi-Velez 2018/,
  );
  const ours = page.filter((line) => line.startsWith('| J-SIGR, lenet'));
  // 30 of 40 under the plain attack, 20 under the study's own
  expect(
    ours.map((line) =>
      line
        .split('|')
        .slice(2, 5)
        .map((cell) => cell.trim().split(' ')[0]),
    ),
  ).toEqual([
    ['fgsm', '90.0', '75.0'],
    ['mi+di', '90.0', '50.0'],
  ]);
});

test('an attack that was not made has no row, and a dataset of which nothing was published no section', () => {
  expect(lines().filter((line) => line.startsWith('| J-SIGR, lenet'))).toHaveLength(1);
  expect(publishedSection(profile, cellsOf(profile, madeUp()))).toBe('');
});
