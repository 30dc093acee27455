/** What an attacker's reports change while training goes on: read before every epoch, so that training never waits for a report. */
export interface LoopFeedback {
  /** All penalties are multiplied with it; 1 by default. Objectives without penalties do not notice. */
  readonly penaltyFactor?: number;
  /** The best clean accuracy that the factor was decided by: checkpoints keep it for whoever goes on. */
  readonly bestClean?: number;
  readonly examples?: TransferredExamples;
  /** No further epoch is begun; one that was interrupted in its middle is made to its end. */
  readonly stop?: boolean;
}

/** Adversarial examples of training images. */
export interface TransferredExamples {
  /** By the index of the training image: its pixels after an attack, `[height * width * channels]`, 0..255. */
  readonly images: ReadonlyMap<number, Uint8Array>;
  /** How often such an image takes the place of the clean one, 0..1. */
  readonly share: number;
}

/** How strong the penalties are, and what that was decided by. */
export interface PenaltyControl {
  readonly factor: number;
  /** The best clean accuracy of a report so far, 0..1. */
  readonly bestClean: number;
}

export const FIRST_CONTROL: PenaltyControl = { factor: 1, bestClean: 0 };

const UP = 1.25;
const DOWN = 1.5;
const LEAST = 1 / 16;
const MOST = 16;

/**
 * The penalties after a report on a checkpoint: stronger as long as clean accuracy stays within the tolerance of the best so far, weaker where it fell below.
 * So they end about as strong as clean accuracy allows. The factor stays in 1/16..16.
 * @param clean accuracy without attack, of the report, 0..1
 * @param tolerance clean accuracy that robustness may cost, 0..1
 */
export function adaptPenalties(
  { factor, bestClean }: PenaltyControl,
  clean: number,
  tolerance: number,
): PenaltyControl {
  const best = Math.max(bestClean, clean);
  const next = clean < best - tolerance ? factor / DOWN : factor * UP;
  return { factor: Math.min(MOST, Math.max(LEAST, next)), bestClean: best };
}
