import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { objectivesHelp, settingsHelp, techniquesHelp } from './help.ts';

describe('the help of settings', () => {
  it('says name, default, what is allowed, and what it means', () => {
    const schema = z.strictObject({
      weight: z.number().min(0).max(10).default(0.5).describe('of the term'),
      count: z.int().min(1).max(16).default(1).describe('of projections'),
      rate: z.number().positive().lt(1).optional().describe('of learning'),
      kind: z.enum(['hard', 'soft']).default('hard').describe('of mask'),
      on: z.boolean().default(false).describe('or off'),
      text: z.string().default('none').describe('free'),
    });
    expect(settingsHelp(schema).map((setting) => Object.values(setting).join(' | '))).toEqual([
      'weight | 0.5 | 0..10 | of the term',
      'count | 1 | 1..16, whole | of projections',
      'rate |  | above 0 .. below 1 | of learning',
      'kind | hard | hard, soft | of mask',
      'on | false | true, false | or off',
      'text | none | text | free',
    ]);
  });

  it('leaves nothing out: every setting of every objective and technique is described', () => {
    for (const { name, summary, source, settings } of objectivesHelp()) {
      expect(summary.length, name).toBeGreaterThan(10);
      expect(source.length, name).toBeGreaterThan(3);
      for (const setting of settings) expect(setting.description.length, `${name} ${setting.name}`).toBeGreaterThan(10);
    }
    for (const { name, description } of techniquesHelp()) expect(description.length, name).toBeGreaterThan(10);
  });
});

/** The table of the README, as it must be. */
function readmeTable(): string {
  const rows = objectivesHelp().map(({ name, source, settings }) => {
    const own = settings.map((setting) => setting.name).filter((setting) => !SHARED.includes(setting));
    return `| \`${name}\` | ${source} | ${own.map((setting) => `\`${setting}\``).join(' ') || '-'} |`;
  });
  return ['| objective | source | settings |', '| --- | --- | --- |', ...rows].join('\n');
}

/** Settings that several objectives share; the README names them once. */
const SHARED = [
  'rampStartEpoch',
  'rampEndEpoch',
  'estimator',
  'differenceStep',
  'maskThreshold',
  'maskQuantile',
  'maskWarmupEpochs',
  'maskRefreshEpochs',
  'saliencyMethod',
  'saliencySource',
  'saliencyStride',
];

it('the README shows the objectives as they are', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const plain = (text: string) => text.replace(/ +/g, ' ').replace(/-{3,}/g, '---');
  expect(plain(readme)).toContain(plain(readmeTable()));
});
