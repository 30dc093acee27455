export type MaskingVerdict = 'no_sign' | 'suspected' | 'evident';

/** One thing that was looked at. */
export interface MaskingSignal {
  readonly name: keyof typeof signals;
  readonly verdict: MaskingVerdict;
  /** With its figures, in plain words. */
  readonly evidence: string;
}

/** What was measured, as shares of the correctly classified samples. */
export interface Measured {
  readonly samples: number;
  readonly zeroGradients: number;
  readonly zeroMarginGradients: number;
  readonly notFinite: number;
  /** Where the loss rises more along the best of some random directions than along its gradient. */
  readonly blindGradients: number;
  /** Two looks at the same image differ. */
  readonly unsteady: number;
  /** Undefined where the attack does not know the norm. */
  readonly fgsm: number | undefined;
  readonly pgd: number;
  readonly pgdMargin: number;
  readonly pgdRestarts: number;
  readonly unbounded: number;
  readonly noise: number;
  /** Fooled by the first, not by any gradient attack. */
  readonly queriesAlone: number | undefined;
  readonly noiseAlone: number | undefined;
  readonly transferAlone: number | undefined;
}

interface Sign {
  /** From which value on it is a suspicion, and from which it is evident (never: leave it out). */
  readonly suspected: number;
  readonly evident?: number;
  /** A single sample says it already: no chance is in it. */
  readonly isSure?: true;
  /** Undefined where it was not looked at. */
  readonly value: (measured: Measured) => number | undefined;
  readonly words: (value: string, measured: Measured) => string;
}

/** What masked gradients look like: Athalye et al., arXiv 1802.00420, section 3.1; Carlini et al., arXiv 1902.06705, section 5. */
const signals = {
  'zero-gradients': {
    suspected: 0.1,
    evident: 0.5,
    value: ({ zeroGradients, zeroMarginGradients }) => Math.max(zeroGradients, zeroMarginGradients),
    words: (value) => `the gradient of a loss is zero at ${value} of the samples`,
  },
  'non-finite-gradients': {
    suspected: 0.001,
    evident: 0.05,
    isSure: true,
    value: ({ notFinite }) => notFinite,
    words: (value) => `the gradient is not a number at ${value} of the samples`,
  },
  'black-box-beats-white-box': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ queriesAlone }) => queriesAlone,
    words: (value) => `queries alone turn ${value} of the samples that withstand every gradient attack`,
  },
  'transfer-beats-white-box': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ transferAlone }) => transferAlone,
    words: (value) => `transferred examples turn ${value} of the samples that withstand every gradient attack`,
  },
  'one-step-beats-many': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ fgsm, pgd }) => fgsm && Math.max(fgsm - pgd, 0),
    words: (value) => `one gradient step turns ${value} more of the samples than many steps do`,
  },
  'noise-as-good-as-gradients': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ noiseAlone }) => noiseAlone,
    words: (value) => `noise turns ${value} of the samples that withstand every gradient attack`,
  },
  'unbounded-attack-fails': {
    suspected: 0.02,
    evident: 0.1,
    value: ({ unbounded }) => 1 - unbounded,
    words: (value) => `${value} of the samples withstand gradient attacks of any size`,
  },
  'loss-matters': {
    suspected: 0.15,
    evident: 0.4,
    value: ({ pgd, pgdMargin }) => Math.abs(pgdMargin - pgd),
    words: (value) => `PGD on the margin and on the cross-entropy differ by ${value} of the samples`,
  },
  'restarts-matter': {
    suspected: 0.15,
    value: ({ pgd, pgdRestarts }) => pgdRestarts - pgd,
    words: (value) => `four more random starts turn another ${value} of the samples`,
  },
  'gradient-blinder-than-chance': {
    suspected: 0.3,
    evident: 0.7,
    value: ({ blindGradients }) => blindGradients,
    words: (value) => `at ${value} of the samples the loss rises more along a random direction than along its gradient`,
  },
  'random-at-inference': {
    suspected: 0.001,
    isSure: true,
    value: ({ unsteady }) => unsteady,
    words: (value) => `two looks at the same image differ at ${value} of the samples`,
  },
} as const satisfies Readonly<Record<string, Sign>>;

/** Samples that it takes at least, however few there are in all: on a single one of an honest model a weaker attack has luck. */
const LEAST = { suspected: 2, evident: 3 } as const;

/** What the figures say; what was not looked at says nothing. */
export function signalsOf(measured: Measured): MaskingSignal[] {
  return Object.entries(signals).flatMap(([name, sign]) => judged(name as keyof typeof signals, sign, measured));
}

function judged(name: keyof typeof signals, sign: Sign, measured: Measured): MaskingSignal[] {
  const value = sign.value(measured);
  if (value === undefined) return [];
  const count = Math.round(value * measured.samples);
  const says = (kind: keyof typeof LEAST) =>
    value >= (sign[kind] ?? Number.POSITIVE_INFINITY) && (sign.isSure || count >= LEAST[kind]);
  const verdict = says('evident') ? 'evident' : says('suspected') ? 'suspected' : 'no_sign';
  return [{ name, verdict, evidence: sign.words(`${(100 * value).toFixed(1)} %`, measured) }];
}
