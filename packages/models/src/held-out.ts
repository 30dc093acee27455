import * as z from 'zod';

/** Which training images a model was not trained on: those that `holdOut` sets aside by this seed and fraction. */
export interface HeldOutPart {
  /** Digest of the dataset. */
  readonly dataset: string;
  readonly seed: number;
  /** Of the training images, 0..0.5; 0: the model was trained on all of them. */
  readonly fraction: number;
}

const schema = z.looseObject({
  dataset: z.looseObject({ digest: z.string().min(1) }),
  seed: z.int().min(0),
  configuration: z.looseObject({ heldOutFraction: z.number().min(0).max(0.5) }),
});

/** What a checkpoint, or its manifest, says of it; undefined where it says nothing: an imported model, a dataset without a digest. */
export function heldOutBy(manifest: unknown): HeldOutPart | undefined {
  const { data } = schema.safeParse(manifest);
  return data && { dataset: data.dataset.digest, seed: data.seed, fraction: data.configuration.heldOutFraction };
}
