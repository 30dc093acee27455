import { EngineError } from './errors.ts';

/**
 * Where a block of random numbers lies. Every address names its own endless sequence, so numbers can be drawn in any order, alone or in any
 * batch, and a resumed run draws what an uninterrupted one would have drawn.
 */
export interface RandomAddress {
  /** 0..2^32-1. */
  readonly seed: number;
  /** What the numbers are for, e.g. `pgd.start`; different streams are independent. */
  readonly stream: string;
  /** Training step, iteration, epoch: 0..2^32-1, 0 by default. */
  readonly step?: number;
  /** Index of the sample that the numbers belong to: 0..2^32-1, 0 by default. */
  readonly sample?: number;
}

/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): 128 random bits from a counter and a key.
 * The generator that everything here draws from; public for its published test vectors.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  const words = new Uint32Array(4);
  philoxBlock(words, 0, counter, key[0], key[1]);
  return [...words] as [number, number, number, number];
}

/** `count` random 32-bit words. @throws EngineError INVALID_INPUT if a part of the address or the count is out of range. */
export function randomWords(address: RandomAddress, count: number): Uint32Array {
  const words = new Uint32Array(checkedCount('count', count));
  fill(words, keyOf(address), 0);
  return words;
}

/** `count` numbers, uniform on [0, 1): multiples of 2^-24, all exact in float32. @throws EngineError INVALID_INPUT as {@link randomWords}. */
export function uniform(address: RandomAddress, count: number): Float32Array {
  const words = randomWords(address, count);
  const numbers = new Float32Array(words.buffer); // in place: a word is read before it is overwritten
  for (let i = 0; i < count; i++) numbers[i] = ((words[i] ?? 0) >>> 8) * 2 ** -24;
  return numbers;
}

/**
 * `count` numbers of the standard normal distribution (Box-Muller on float64, rounded to float32; the largest possible magnitude is 6.66).
 * @throws EngineError INVALID_INPUT as {@link randomWords}.
 */
export function normal(address: RandomAddress, count: number): Float32Array {
  const even = checkedCount('count', count) + (count & 1);
  const words = randomWords(address, even);
  const numbers = new Float32Array(count);
  for (let i = 0; i < even; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(((words[i] ?? 0) + 1) * 2 ** -32)); // (0, 1]: never the logarithm of zero
    const angle = (words[i + 1] ?? 0) * (2 * Math.PI * 2 ** -32);
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < count) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}

/** A permutation of 0..n-1, every one equally likely (Fisher-Yates; draws that would favour small numbers are rejected). */
export function permutation(address: RandomAddress, n: number): Uint32Array {
  const order = new Uint32Array(checkedCount('n', n));
  for (let i = 0; i < n; i++) order[i] = i;
  const next = wordStream(keyOf(address), n);
  for (let i = n - 1; i > 0; i--) {
    const j = below(i + 1, next);
    const kept = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = kept;
  }
  return order;
}

/** FNV-1a of the UTF-8 bytes of a text: 32 bits, the same everywhere. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

interface Key {
  readonly seed: number;
  readonly stream: number;
  readonly sample: number;
  readonly step: number;
}

function keyOf({ seed, stream, step = 0, sample = 0 }: RandomAddress): Key {
  checkedWord('seed', seed);
  checkedWord('step', step);
  checkedWord('sample', sample);
  return { seed, stream: hash32(stream), sample, step };
}

/** A word below `bound`, all equally likely: words of the last, incomplete multiple of the bound are drawn again. */
function below(bound: number, next: () => number): number {
  const limit = 2 ** 32 - (2 ** 32 % bound);
  let word = next();
  while (word >= limit) word = next();
  return word % bound;
}

const CHUNK = 1024;

function wordStream(key: Key, expected: number): () => number {
  const words = new Uint32Array(Math.min(CHUNK, 4 * Math.ceil((expected + 1) / 4)));
  let block = 0;
  let at = words.length;
  return () => {
    if (at === words.length) {
      fill(words, key, block);
      block += words.length / 4;
      at = 0;
    }
    return words[at++] ?? 0;
  };
}

/** Fills `words` from block number `block` of a key on; the counter is [block, sample, step, 0]. */
function fill(words: Uint32Array, key: Key, block: number): void {
  const whole = words.length & ~3;
  const counter: [number, number, number, number] = [block, key.sample, key.step, 0];
  for (let at = 0; at < whole; at += 4) {
    philoxBlock(words, at, counter, key.seed, key.stream);
    counter[0]++;
  }
  if (whole === words.length) return;
  const last = new Uint32Array(4);
  philoxBlock(last, 0, counter, key.seed, key.stream);
  words.set(last.subarray(0, words.length - whole), whole);
}

// The high halves of 32 x 32 bit products come from 16-bit halves, because a double does not hold 64 bits; everything stays a 32-bit integer.
const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;

function philoxBlock(words: Uint32Array, at: number, counter: ArrayLike<number>, key0: number, key1: number): void {
  let c0 = (counter[0] ?? 0) | 0;
  let c1 = (counter[1] ?? 0) | 0;
  let c2 = (counter[2] ?? 0) | 0;
  let c3 = (counter[3] ?? 0) | 0;
  let k0 = key0 | 0;
  let k1 = key1 | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0, M0 & 0xffff, M0 >>> 16);
    const high1 = multiplyHigh(c2, M1 & 0xffff, M1 >>> 16);
    const low0 = Math.imul(c0, M0);
    const low1 = Math.imul(c2, M1);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  words[at] = c0;
  words[at + 1] = c1;
  words[at + 2] = c2;
  words[at + 3] = c3;
}

function multiplyHigh(a: number, bLow: number, bHigh: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const carry = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const middle = Math.imul(aLow, bHigh) + (carry & 0xffff);
  return (Math.imul(aHigh, bHigh) + (carry >>> 16) + (middle >>> 16)) | 0;
}

function checkedWord(field: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw new EngineError(
      'INVALID_INPUT',
      `${field} of a random address must be an integer from 0 to 4294967295, not ${value}`,
    );
}

function checkedCount(field: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 2 ** 31)
    throw new EngineError(
      'INVALID_INPUT',
      `${field} of random numbers must be an integer from 0 to 2147483648, not ${value}`,
    );
  return value;
}
