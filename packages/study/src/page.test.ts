import { expect, test } from 'vitest';
import { studyPage } from './page.ts';
import type { RunRecord } from './record.ts';
import { made, profile as part } from './testing.ts';

const runs = part.seeds.flatMap((seed) =>
  part.objectives.map(({ label }) => made(label, seed, { clean: 36, robust: 20, seconds: 3, mass: 0.3 })),
);
const pageOf = (whole: typeof part, runs: readonly RunRecord[]) =>
  studyPage(
    part,
    { runs, trials: {}, maskShare: undefined },
    { whole, command: 'jsigr reproduce made-up', digest: 'd', quick: false, plots: [] },
  );

test('a page of a part of a study says of what', () => {
  const whole = { ...part, architectures: ['lenet', 'mlp'], seeds: [1, 2, 3] };
  const said = '\nA part of the study: 1 of 2 architectures (lenet); 2 of 3 seeds (1, 2)';
  expect(pageOf(whole, runs)).toContain(`${said}.\n`);
  expect(pageOf(whole, runs.slice(1))).toContain(`${said}; 7 of 8 models are made.\n`);
  expect(pageOf(part, runs.slice(1))).toContain('\nA part of the study: 7 of 8 models are made.\n');
  const more = {
    ...part,
    objectives: [...part.objectives, { label: 'b, c', objective: 'b', recipes: [{ settings: {} }] as const }],
  };
  const labels = part.objectives.map(({ label }) => label).join(' / ');
  expect(pageOf(more, runs)).toContain(`\nA part of the study: 4 of 5 objectives (${labels}).\n`);
  expect(pageOf(part, runs)).not.toContain('A part of the study');
});
