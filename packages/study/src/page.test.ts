import { expect, test } from 'vitest';
import { studyPage } from './page.ts';
import { profile as part } from './testing.ts';

const pageOf = (whole: typeof part) =>
  studyPage(
    part,
    { runs: [], trials: {}, maskShare: undefined },
    { whole, command: 'jsigr reproduce made-up', digest: 'd', quick: false, plots: [] },
  );

test('a page of a part of a study says of what', () => {
  const whole = { ...part, architectures: ['lenet', 'mlp'], seeds: [1, 2, 3] };
  expect(pageOf(whole)).toContain('\nA part of the study: lenet of lenet, mlp; seeds 1, 2 of 1, 2, 3.\n');
  expect(pageOf(part)).not.toContain('A part of the study');
});
