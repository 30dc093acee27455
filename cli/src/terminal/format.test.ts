import { AttackAccess, MaskingVerdict, Proportion, RunState } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import {
  accessName,
  attackName,
  bytes,
  count,
  decimal,
  duration,
  epochsText,
  instant,
  isFinal,
  maskingName,
  proportion,
  shortName,
  stateName,
} from './format.ts';

describe('figures for people', () => {
  it('a share goes with its interval', () => {
    const share = Proportion.fromPartial({ successes: 812, trials: 1000, value: 0.812, lower: 0.794, upper: 0.829 });
    expect(proportion(share)).toBe('81.2 % [79.4, 82.9]');
  });

  it('nothing counted is no figure', () => {
    expect(proportion(undefined)).toBe('-');
    expect(proportion(Proportion.fromPartial({ trials: 0 }))).toBe('-');
  });

  it.each([
    [0, '0:00'],
    [41.6, '0:42'],
    [59.6, '1:00'],
    [725, '12:05'],
    [3723, '1:02:03'],
    [-3, '0:00'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it.each([
    [999, '999 B'],
    [1000, '1.0 kB'],
    [2_449_000, '2.4 MB'],
    [3e15, '3000.0 TB'],
  ])('%d bytes are %s', (size, text) => expect(bytes(size)).toBe(text));

  it.each([
    [0.412345, '0.4123'],
    [12.3456, '12.35'],
    [Number.NaN, 'NaN'],
    [8 / 255, '0.03137'],
  ])('%d is %s', (value, text) => expect(decimal(value)).toBe(text));

  it('thousands are set apart', () => expect(count(1234567.8)).toBe('1,234,568'));
  it('one epoch is one', () => expect([epochsText(1), epochsText(12)]).toEqual(['1 epoch', '12 epochs']));
});

describe('names for people', () => {
  it.each([
    [`models/${'0123456789abcdef'.repeat(4)}`, 'models/0123456789ab'],
    ['0123456789abcdef', '0123456789ab'],
    ['trainingRuns/abc', 'trainingRuns/abc'],
    ['', ''],
  ])('%s becomes %s', (name, short) => expect(shortName(name)).toBe(short));

  it('enum values are words', () => {
    expect(stateName(RunState.RUN_STATE_RUNNING)).toBe('running');
    expect(accessName(AttackAccess.ATTACK_ACCESS_WHITE_BOX)).toBe('white-box');
    expect(accessName(AttackAccess.ATTACK_ACCESS_TRANSFER)).toBe('transferred');
    expect(accessName(AttackAccess.ATTACK_ACCESS_CONTROL)).toBe('control');
  });

  it('a masking verdict that nobody gave reads as not assessed', () => {
    expect(maskingName(MaskingVerdict.MASKING_VERDICT_NOT_ASSESSED)).toBe('not assessed');
    expect(maskingName(MaskingVerdict.MASKING_VERDICT_UNSPECIFIED)).toBe('not assessed');
  });

  it('three states are final', () => {
    expect(Object.values(RunState).filter((state) => isFinal(state as RunState))).toEqual([
      RunState.RUN_STATE_SUCCEEDED,
      RunState.RUN_STATE_FAILED,
      RunState.RUN_STATE_CANCELLED,
    ]);
  });

  it('times are UTC to the second', () => {
    expect(instant(new Date('2026-11-23T08:44:16.789Z'))).toBe('2026-11-23 08:44:16');
    expect(instant(undefined)).toBe('-');
  });
});

it.each([
  [{}, 'transfer linf'],
  [{ recipe: 'ni+si' }, 'transfer linf ni+si'],
  [{ steps: '20', recipe: 'mi+bsr', fusion: 'losses' }, 'transfer linf mi+bsr fusion=losses steps=20'],
])('an attack with %j is %s', (settings, name) =>
  expect(attackName({ attack: 'transfer', norm: 'linf', settings })).toBe(name),
);
