/** A share of samples with its interval: JSON-able. The interval covers the choice of the samples, not the weakness of an attack. */
export interface Proportion {
  /** count / total; 0 where there are no samples (the interval is then [0, 1]). */
  readonly value: number;
  readonly count: number;
  readonly total: number;
  /** Wilson's 95 % interval. */
  readonly low: number;
  readonly high: number;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** `count` of `total` samples, with Wilson's 95 % interval. @throws RangeError unless 0 <= count <= total are integers. */
export function proportion(count: number, total: number): Proportion {
  return { value: total === 0 ? 0 : count / total, count, total, ...wilson(count, total) };
}

/** Half of a 95 % interval of the standard normal distribution. */
const Z95 = 1.959963984540054;

/** Wilson's score interval (JASA 1927, 22:209), 95 % for the default z. @throws RangeError unless 0 <= count <= total are integers. */
export function wilson(count: number, total: number, z = Z95): Interval {
  checkCounts(count, total);
  if (total === 0) return { low: 0, high: 1 };
  const share = count / total;
  const z2 = (z * z) / total;
  const centre = (share + z2 / 2) / (1 + z2);
  const half = Math.sqrt(z2 * share * (1 - share) + (z2 * z2) / 4) / (1 + z2);
  // At the ends the formula gives 0 and 1 but for rounding.
  return { low: count === 0 ? 0 : centre - half, high: count === total ? 1 : centre + half };
}

/** The exact interval of Clopper and Pearson (Biometrika 1934, 26:404). @throws RangeError unless 0 <= count <= total are integers. */
export function clopperPearson(count: number, total: number, confidence = 0.95): Interval {
  checkCounts(count, total);
  if (!(confidence > 0 && confidence < 1)) throw new RangeError(`confidence ${confidence} is not between 0 and 1`);
  const tail = (1 - confidence) / 2;
  return {
    low: count === 0 ? 0 : betaQuantile(tail, count, total - count + 1),
    high: count === total ? 1 : betaQuantile(1 - tail, count + 1, total - count),
  };
}

/**
 * McNemar's exact two-sided test (Psychometrika 1947, 12:153) of two models on the same samples: the probability that `onlyFirst` against
 * `onlySecond` disagreements, or a more uneven split, come about if both models are equally good.
 * @throws RangeError unless both are non-negative integers.
 */
export function mcnemar(onlyFirst: number, onlySecond: number): number {
  const total = onlyFirst + onlySecond;
  checkCounts(onlyFirst, total);
  checkCounts(onlySecond, total);
  let tail = 0;
  for (let k = 0; k <= Math.min(onlyFirst, onlySecond); k++)
    tail += Math.exp(logGamma(total + 1) - logGamma(k + 1) - logGamma(total - k + 1) - total * Math.LN2);
  return Math.min(1, 2 * tail);
}

/** The regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b), for a, b > 0 and x in [0,1]. */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The continued fraction converges fast below the mean; above it the mirrored one does.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return (front / a) * betaFraction(x, a, b);
}

/** 1 / (1 + d1 / (1 + d2 / (1 + ...))), DLMF 8.17.22, by Lentz's method. */
function betaFraction(x: number, a: number, b: number): number {
  let upper = 1;
  let lower = 0;
  let fraction = 1;
  for (let n = 1; n < 10_000; n++) {
    const m = n >> 1;
    const d =
      n % 2 === 0
        ? (m * (b - m) * x) / ((a + n - 1) * (a + n))
        : (-(a + m) * (a + b + m) * x) / ((a + n - 1) * (a + n));
    upper = nonZero(1 + d / upper);
    lower = 1 / nonZero(1 + d * lower);
    fraction *= upper * lower;
    if (Math.abs(upper * lower - 1) < 1e-15) break;
  }
  return 1 / fraction;
}

function nonZero(value: number): number {
  return Math.abs(value) < 1e-300 ? 1e-300 : value;
}

/** The x with I_x(a, b) = p, by bisection: 60 halvings leave nothing of the interval in float64. */
function betaQuantile(p: number, a: number, b: number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** ln Gamma(x) for x > 0: Stirling's series (DLMF 5.11.1) above 15, where four terms are exact to 1e-13; below it after shifting up. */
function logGamma(x: number): number {
  let shift = 0;
  let at = x;
  for (; at < 15; at++) shift += Math.log(at);
  const r = 1 / (at * at);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r / 1680))) / at;
  return (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

/** The standard normal quantile of p in (0, 1): the x with P(X <= x) = p. @throws RangeError outside. */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`${p} is not between 0 and 1`);
  if (p < 0.5) return -normalQuantile(1 - p);
  let low = 0;
  let high = 40;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (upperTail(middle) > 1 - p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(X > x) of the standard normal distribution for x >= 0: a series near 0 (Abramowitz and Stegun 26.2.11), a continued fraction beyond (26.2.14). */
function upperTail(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100; n++) {
      term *= (x * x) / (2 * n + 1);
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / fraction;
  return density / fraction;
}

function checkCounts(count: number, total: number): void {
  if (!Number.isInteger(count) || !Number.isInteger(total) || count < 0 || count > total)
    throw new RangeError(`${count} of ${total} is not a share of samples`);
}
