import { EQUAL_CLEAN } from './choice.ts';
import type { Claim } from './claims.ts';
import { markdownTable } from './text.ts';

/** How a ruling is come to: belongs above every table of claims. */
export const RULES = `The first four claims are the method's own; the last is what combining the halves would be for. A statement holds where J-SIGR is ahead in every comparison that the study makes (architecture, radius or method), and does not hold where it is behind in one; anything else is undecided. Holding so far: models that it is about are still to be made. A claim holds if
all its statements do, and does not if one of them does not. Ahead under attack: at every seed, each time with p < 0.05 (McNemar's exact test, not corrected for the number of comparisons); of maps: 95 % intervals that do not overlap; of cost: within the bound at
every seed, by the mean of the epochs and by the fastest alike (where they disagree other work on the machine decided). Being ahead counts for nothing where it is by white-box figures of a model with signs of masked gradients, or, against the halves, with less clean accuracy by more than ${100 * EQUAL_CLEAN} points.`;

/** The claims of a study, each with its ruling and the numbers that it comes from. @param level of the claims' headings */
export function claimsText(claims: readonly Claim[], level: number): string {
  return claims
    .map(({ title, ruling, tests }, i) => {
      const rows = tests.map(({ statement, ruling: own, numbers, masking }) => [
        statement,
        own,
        numbers,
        masking || '-',
      ]);
      const heading = `${'#'.repeat(level)} ${i + 1}. ${title}: ${ruling}`;
      return `${heading}\n\n${markdownTable(['tested as', 'ruling', 'numbers', 'masking'], rows)}`;
    })
    .join('\n');
}
