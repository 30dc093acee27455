import { Evaluation, MaskingVerdict, RobustnessReport } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { nearestMisses } from '../adversarial.ts';
import { madeUpAdversarial } from '../testing/adversarial.ts';
import { madeUpReport, shareOf } from '../testing/report-data.ts';
import { type EvaluationPage, renderEvaluation } from './evaluation-page.ts';

const [first] = madeUpReport().models;
if (!first) throw new Error('the fixture has models');
const report: RobustnessReport = { ...first.report, command: 'jsigr evaluate models/aa --seed 1', ledger: 'c0ffee' };

function pageOf(change: Partial<EvaluationPage> = {}): string {
  return renderEvaluation({
    evaluation: Evaluation.fromPartial({ name: 'evaluations/e1' }),
    report,
    model: 'lenet',
    classNames: ['ring', 'cross'],
    nearest: nearestMisses(madeUpAdversarial(), 12),
    input: [2, 2, 1],
    createTime: new Date(0),
    version: '0.1.0',
    ...change,
  });
}
const textOf = (page: string) =>
  page
    .replace(/<style>.*?<\/style>/s, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ');

describe('the page of an evaluation', () => {
  const page = pageOf();
  const text = textOf(page);

  it('begins with the verdict, at the largest radius, and with what is known of masking', () => {
    const at = (words: string) => {
      expect(text).toContain(words);
      return text.indexOf(words);
    };
    const order = [
      at('At linf 0.3 at most 0.0 % [0.0, 0.0] stay right when the model itself is attacked.'),
      at('At linf 0.3 at most 15.2 %'),
      at('masking: not assessed. Nobody checked'),
      at('Every attack'),
      at('The nearest misses'),
      at('What it cost'),
    ];
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('shows each miss once: as it is, the perturbation amplified, what the model saw and still sees in 8 bits', () => {
    expect(page.match(/data:image\/png;base64,/g)).toHaveLength(9);
    expect(text).toContain('amplified 7 times');
    expect(text).toContain('ring; in 8 bits still ring');
    expect(text).toContain('Sample 4: pgd linf, distance 0.09375');
    expect(text).toContain('ring; in 8 bits right again');
    expect(text).not.toContain('distance 0.75');
  });

  it('says what it cost and how it is made again', () => {
    for (const words of ['all attacks', 'Backward passes', report.command, 'c0ffee: a row for each attempt', '0.1.0'])
      expect(text).toContain(words);
  });

  it('tells attacks apart that differ by their settings, among their figures and their costs', () => {
    const attacks = report.attacks.slice(0, 1).map((one) => ({ ...one, settings: { steps: '40', loss: 'margin' } }));
    const nearest = madeUpAdversarial().map((one) => ({ ...one, settings: { recipe: 'ni+si' } }));
    const told = textOf(pageOf({ report: { ...report, attacks }, nearest }));
    expect(told.split('pgd linf loss=margin steps=40')).toHaveLength(3);
    expect(told).toContain('Sample 3: pgd linf ni+si, distance 0.0625');
  });

  it('says which attacks a limit ended, and what their figures are then', () => {
    const attacks = report.attacks.map((one, i) => (i === 0 ? { ...one, unattempted: 40, cutShort: 12 } : one));
    const told = textOf(pageOf({ report: { ...report, attacks } }));
    expect(told).toContain('40 not met, 12 cut short');
    expect(told).toContain('an upper bound of what the whole plan leaves');
    expect(text).not.toMatch(/Not done|upper bound of what the whole plan/);
  });

  it('shows how little it takes and what is certain, where somebody looked', () => {
    const told = pageOf({
      report: RobustnessReport.fromPartial({
        ...report,
        smallestEpsilons: [
          {
            ...{ attack: 'pgd', norm: 'l2', largestEpsilon: 0.5, turned: shareOf(0.9, 100), forwards: 4321 },
            quantiles: [{ share: 0.25, epsilon: 0.1, lower: 0.05, upper: 0.2 }, { share: 0.5 }, { share: 0.75 }],
          },
        ],
        certifiedAccuracy: {
          sigma: 0.25,
          shares: [0, 0.25].map((radius) => ({ radius, accuracy: shareOf(0.5, 100) })),
        },
      }),
    });
    expect(textOf(told)).toMatch(/pgd l2, smallest radii\s+4,321/);
    for (const words of [
      'How little it takes',
      '0.1 [0.05, 0.2]',
      '> 0.5',
      'What is certain',
      'Gaussian noise of 0.25',
    ])
      expect(textOf(told)).toContain(words.replaceAll('>', '&gt;'));
    expect(told).toContain('Certified accuracy over radius, l2');
    expect(text).not.toMatch(/How little|What is certain/);
  });

  it('shows the evidence of a verdict on masking, and the flags', () => {
    const suspected = textOf(
      pageOf({
        report: {
          ...report,
          masking: MaskingVerdict.MASKING_VERDICT_EVIDENT,
          maskingSignals: [
            { name: 'zero-gradients', verdict: MaskingVerdict.MASKING_VERDICT_EVIDENT, evidence: 'zero at 99 %' },
            { name: 'restarts-matter', verdict: MaskingVerdict.MASKING_VERDICT_NO_SIGN, evidence: 'nothing' },
          ],
          flags: ['the model gives probabilities'],
        },
      }),
    );
    expect(suspected).toContain('masking: evident. Gradients are masked');
    expect(suspected).toContain('zero-gradients (evident): zero at 99 %');
    expect(suspected).not.toContain('restarts-matter');
    expect(suspected).toContain('the model gives probabilities');
  });

  it('needs nothing from outside, has no hole, and escapes what it is given', () => {
    const bare = page.replaceAll(/base64,[^"]*/g, 'base64,');
    expect(bare).not.toMatch(/https?:|<script|<link|@import|url\(|undefined|NaN|\[object/i);
    expect(bare).toContain("default-src 'none'");
    expect(pageOf({ model: '"><img src=x>', classNames: ['<b>'] })).not.toMatch(/<img|<b><\/figcaption/);
  });

  it('holds where no attack succeeded', () => expect(pageOf({ nearest: [] })).not.toContain('nearest misses</h2>'));
});

it('norms take turns among the nearest misses, and none is shown twice', () => {
  const shown = nearestMisses(madeUpAdversarial(), 2).map(({ norm, sample }) => [norm, sample]);
  expect(shown).toEqual([
    ['linf', 3],
    ['l2', 5],
  ]);
});
