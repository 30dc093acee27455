import { describe, expect, test } from 'vitest';
import { cellsOf } from './cells.ts';
import { CLAIMS, claimsOf } from './claims.ts';
import { duelsOf } from './findings.ts';
import type { Profile } from './profile.ts';
import { madeUp, profile } from './testing.ts';

// Usual figures, of 40 samples and at each of two seeds: standard 2 robust, Jacobian norm 19, J-SIGR 20, PGD-AT 34.
function claims(change?: Parameters<typeof madeUp>[0]) {
  const cells = cellsOf(profile, madeUp(change));
  const found = claimsOf(profile, cells, duelsOf(profile, cells));
  return (title: string) => found.find((claim) => claim.title === title) ?? expect.fail(title);
}

const rulings = (claim: ReturnType<ReturnType<typeof claims>>) => [
  claim.ruling,
  ...claim.tests.map(({ ruling }) => ruling),
];

describe('a claim about transferred examples', () => {
  test('does not hold where J-SIGR is behind, and holds only if it was measured at equal time too', () => {
    expect(rulings(claims()(CLAIMS.transferred))).toEqual(['does not hold', 'does not hold', 'not measured']);
    // 20 samples against 8: 12 discordant ones, p = 2 / 2^12
    const ahead = claims({ 'PGD-AT-7': { robust: 8 } });
    expect(rulings(ahead(CLAIMS.transferred))).toEqual(['undecided', 'holds', 'not measured']);
  });

  test('is undecided where the samples do not tell the models apart, and says the figures', () => {
    const [test] = claims({ 'PGD-AT-7': { robust: 21 } })(CLAIMS.transferred).tests;
    expect(test).toEqual({
      statement: 'more robust than PGD-AT-7 under transferred examples',
      ruling: 'undecided',
      numbers: 'ahead in 0 of 1, behind in 0; -2.5 to -2.5 points; lenet, linf 0.1: 50.0 against 52.5 % (clean -5.0)',
      masking: 'lenet: J-SIGR no sign, PGD-AT-7 no sign',
    });
  });
});

describe('a claim about white-box attacks', () => {
  test('is not decided by figures that may be too good, whoever has them', () => {
    expect(rulings(claims()(CLAIMS.general))).toEqual(['does not hold', 'holds', 'holds', 'does not hold']);
    const ours = claims({ 'J-SIGR': { masking: 'suspected' } })(CLAIMS.general);
    expect(rulings(ours)).toEqual(['does not hold', 'holds', 'undecided', 'does not hold']);
    expect(ours.tests[1]?.numbers).toContain('1 undecided because the one ahead may have masked gradients');
    const theirs = claims({ 'PGD-AT-7': { masking: 'evident' } })(CLAIMS.general);
    expect(rulings(theirs)).toEqual(['undecided', 'holds', 'holds', 'undecided']);
  });
});

test('a claim about a half counts no lead at the cost of clean accuracy', () => {
  const ahead = { 'Jacobian norm alone': { robust: 5, clean: 38 } };
  // 36 of 40 against 38: five points less
  const [dearly] = claims(ahead)(CLAIMS.whole).tests;
  expect(dearly?.ruling).toBe('undecided');
  expect(dearly?.numbers).toContain('less clean accuracy by more than 0.3 points');
  const [fairly] = claims({ ...ahead, 'J-SIGR': { clean: 38 } })(CLAIMS.whole).tests;
  expect(fairly?.ruling).toBe('holds');
  const [behind] = claims({ 'Jacobian norm alone': { robust: 34, clean: 36 } })(CLAIMS.whole).tests;
  expect(behind?.ruling).toBe('does not hold');
});

test('a claim about explanations takes masks where there are some, and all of its comparisons', () => {
  const { ruling, tests } = claims()(CLAIMS.interpretable);
  expect(ruling).toBe('does not hold');
  expect(tests.map(({ statement, ruling: each }) => [statement.split(' ').slice(-2).join(' '), each])).toEqual([
    ['with standard', 'holds'], // mass 0.30 against 0.20 +- 0.01
    ['with PGD-AT-7', 'does not hold'],
    ['with standard', 'holds'], // rank
    ['with PGD-AT-7', 'does not hold'],
    ['with standard', 'undecided'], // stability is 0.5 everywhere
    ['with PGD-AT-7', 'undecided'],
  ]);
});

test('a claim about cost has its bounds, seed by seed', () => {
  expect(rulings(claims()(CLAIMS.cheap))).toEqual(['holds', 'holds', 'holds']);
  const dear = claims({ 'J-SIGR': { seconds: 4.5 } })(CLAIMS.cheap);
  expect(rulings(dear)).toEqual(['does not hold', 'does not hold', 'does not hold']);
  expect(dear.tests[1]?.numbers).toBe('lenet: 4.50, 4.50 (by the fastest epochs 4.50, 4.50)');
  const elsewhere = claims({ 'PGD-AT-7': { machine: 'another one' } })(CLAIMS.cheap);
  expect(rulings(elsewhere)).toEqual(['undecided', 'undecided', 'holds']);
  expect(elsewhere.tests[0]?.numbers).toBe('lenet: times that cannot be compared: different machines, or none');
  const both = { machine: 'm, then n' };
  const resumed = claims({ 'PGD-AT-7': both, 'J-SIGR': both })(CLAIMS.cheap);
  expect(rulings(resumed)).toEqual(['undecided', 'undecided', 'undecided']);
});

test('a bound on costs that the mean and the fastest epochs see differently is undecided', () => {
  const runs = madeUp().map((run) => {
    const [epoch] = run.training?.value.epochs ?? [];
    if (run.spec.label !== 'J-SIGR' || !run.training || !epoch) return run;
    // 3 and 5 s against 6 s, of which 1 s each for the masks: 0.67 on average, 0.5 by the fastest.
    const epochs = [3, 5].map((seconds, i) => ({ ...epoch, epoch: i + 1, seconds, maskSeconds: 1 }));
    return { ...run, training: { ...run.training, value: { ...run.training.value, epochs } } };
  });
  const cells = cellsOf(profile, runs);
  const cheap = claimsOf(profile, cells, duelsOf(profile, cells)).find(({ title }) => title === CLAIMS.cheap);
  expect(cheap?.tests[0]).toMatchObject({
    ruling: 'undecided',
    numbers: 'lenet: 0.67, 0.67 (by the fastest epochs 0.50, 0.50)',
  });
});

test('what holds for a part of the models holds so far, what does not is final', () => {
  const three = { ...profile, seeds: [1, 2, 3] };
  const cells = cellsOf(three, madeUp());
  const rulingsOf = (study: Profile) =>
    claimsOf(study, cells, duelsOf(study, cells)).flatMap(({ tests }) => tests.map(({ ruling }) => ruling));
  const [whole, part] = [rulingsOf(profile), rulingsOf(three)];
  expect(whole).toContain('holds');
  expect(whole).toContain('does not hold');
  expect(part).toEqual(whole.map((ruling) => (ruling === 'holds' ? 'holds so far' : ruling)));
  expect(rulingsOf({ ...profile, architectures: ['lenet', 'mlp'] })).toEqual(part);
  const cheap = claimsOf(three, cells, duelsOf(three, cells)).find(({ title }) => title === CLAIMS.cheap);
  expect(cheap?.ruling).toBe('holds so far');
  // The page of a part of the study says so as well.
  const ofPart = claimsOf(profile, cells, duelsOf(profile, cells), three);
  expect(ofPart.flatMap(({ tests }) => tests.map(({ ruling }) => ruling))).toEqual(part);
});

test('a model whose training broke down is there: what holds for the others holds', () => {
  const runs = madeUp().map((run) =>
    run.spec.seed === 2 && run.training
      ? { ...run, measures: {}, training: { ...run.training, value: { ...run.training.value, ended: 'diverged' } } }
      : run,
  );
  const cells = cellsOf(profile, runs);
  const [, general] = claimsOf(profile, cells, duelsOf(profile, cells));
  expect(general?.tests[0]).toMatchObject({ ruling: 'holds', numbers: expect.stringContaining('seed 1 of 2') });
});
