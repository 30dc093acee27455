import { int32, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { AttackError } from './errors.ts';

/** Adversarial images as they are kept and sent. */
export interface ExampleSet {
  /** Which samples of the split they were made of. */
  readonly indices: readonly number[];
  /** `[count, height, width, channels]`, 0..255. */
  readonly images: Uint8Array;
  /** [height, width, channels] */
  readonly input: readonly number[];
}

const FILE = 'examples.safetensors';

/** The file of an artefact: `indices` int32 `[count]` and `images` uint8 `[count, height, width, channels]`. Equal sets give equal bytes. */
export function encodeExamples({ indices, images, input }: ExampleSet): Readonly<Record<string, Uint8Array>> {
  return {
    [FILE]: writeSafetensors({
      indices: int32([...indices], [indices.length]),
      images: { dtype: 'uint8', shape: [indices.length, ...input], data: images },
    }),
  };
}

/** @throws AttackError EXAMPLES_DAMAGED; EngineError MALFORMED_FILE */
export function decodeExamples(files: Readonly<Record<string, Uint8Array>>): ExampleSet {
  const bytes = files[FILE];
  if (!bytes) throw damaged('is missing');
  const { indices, images } = readSafetensors(bytes).tensors;
  const [count, ...input] = images?.shape ?? [];
  if (indices?.dtype !== 'int32' || images?.dtype !== 'uint8' || input.length !== 3 || count !== indices.data.length)
    throw damaged('is not that of adversarial examples');
  if (indices.data.some((index) => index < 0)) throw damaged('has an index below 0');
  return { indices: [...indices.data], images: images.data as Uint8Array, input };
}

function damaged(message: string): AttackError {
  return new AttackError('EXAMPLES_DAMAGED', FILE, message);
}
