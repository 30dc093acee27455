import type { Engine } from '@jsigr/engine';
import { samplesOf } from './batches.ts';
import { sum } from './cells.ts';
import { AttackError } from './errors.ts';
import { type Certificate, certify, checkSmoothing, SMOOTHING, type Smoothing } from './smoothing.ts';
import { normalQuantile, type Proportion, proportion } from './statistics.ts';
import type { Resolved } from './work.ts';

/** What an evaluation certifies. */
export interface Certification extends Smoothing {
  /** The first so many samples, 1 or more. */
  readonly samples: number;
}

/**
 * What is certain of the smoothed classifier, in l2: JSON-able. Each certificate is right with probability 1 - alpha; the intervals cover the choice of the
 * samples.
 */
export interface CertifiedAccuracy {
  readonly sigma: number;
  /** Noisy copies of each sample that are counted. */
  readonly draws: number;
  readonly alpha: number;
  readonly samples: number;
  /** Samples of which it does not say a class. */
  readonly abstained: number;
  /** Share of all samples that get the right class, certainly up to the radius: radius 0 and on in steps of half the noise, as far as so many draws can tell. */
  readonly curve: readonly { readonly radius: number; readonly accuracy: Proportion }[];
  readonly forwards: number;
  readonly seconds: number;
}

export interface SampleCertificate extends Certificate {
  readonly sample: number;
}

export interface Certified {
  readonly summary: CertifiedAccuracy;
  readonly samples: readonly SampleCertificate[];
}

/** @throws AttackError INVALID_SETTING, INVALID_INPUT */
export function checkCertification(certification: Certification, target: Resolved['target']): void {
  const { samples } = certification;
  if (!Number.isInteger(samples) || samples < 1)
    throw new AttackError('INVALID_SETTING', 'certification.samples', `${samples} is not a positive integer`);
  checkSmoothing(target, certification, 'certification.');
}

/** @param onProgress with samples done */
export async function certifySamples(
  engine: Engine,
  { target, split, seed, input, indices: all, signal }: Resolved,
  certification: Certification,
  onProgress: (samples: number) => void,
): Promise<Certified> {
  const { sigma, estimation, alpha, samples: most } = { ...SMOOTHING, ...certification };
  const indices = all.slice(0, most);
  const began = performance.now();
  const samples: SampleCertificate[] = [];
  for (const sample of indices) {
    const image = samplesOf(split, input, [sample]).images.data as Float32Array;
    const options = { ...certification, seed, sample, ...(signal && { signal }) };
    samples.push({ sample, ...(await certify(engine, target, image, options)) });
    onProgress(samples.length);
  }
  const right = samples.filter(({ sample, prediction }) => prediction === split.labels[sample]);
  const curve = radiiOf({ sigma, estimation, alpha }).map((radius) => ({
    radius,
    accuracy: proportion(right.filter((one) => one.radius >= radius).length, samples.length),
  }));
  const summary: CertifiedAccuracy = {
    ...{ sigma, draws: estimation, alpha, samples: samples.length, curve },
    abstained: samples.filter(({ prediction }) => prediction === undefined).length,
    forwards: sum(samples.map(({ forwards }) => forwards)),
    seconds: (performance.now() - began) / 1000,
  };
  return { summary, samples };
}

/** If all draws agree, the probability of the class is at least alpha^(1 / draws): no radius beyond that can be certified. */
function radiiOf({ sigma, estimation, alpha }: Required<Omit<Smoothing, 'selection'>>): number[] {
  const largest = normalQuantile(alpha ** (1 / estimation));
  // In halves of sigma, which may be so small that half of it is 0.
  return Array.from({ length: Math.max(Math.floor(2 * largest), 0) + 1 }, (_, i) => (i * sigma) / 2);
}
