import { expect, test } from 'vitest';
import { allOf, flagsOf, outcomesOf } from './outcomes.ts';

const FLAGS = [true, false, true, true, false, false, false, true, true, false];

test('flags come back as they were, the first sample in the lowest bit', () => {
  expect(outcomesOf(FLAGS)).toEqual({ total: 10, yes: 5, bits: Buffer.from([0b10001101, 0b01]).toString('base64') });
  expect(flagsOf(outcomesOf(FLAGS))).toEqual(FLAGS);
  expect(flagsOf(outcomesOf([]))).toEqual([]);
});

test('all of several are where every one says yes', () => {
  expect(flagsOf(allOf([outcomesOf([true, true, false]), outcomesOf([true, false, true])]))).toEqual([
    true,
    false,
    false,
  ]);
});
