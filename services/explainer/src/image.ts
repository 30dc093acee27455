import type { FloatTensor, ImageInput } from '@jsigr/proto';
import { decodeImage, invalid } from './decode-image.ts';

/**
 * The image of a request as the model takes it: `[height, width, channels]` in [0,1].
 * @throws JsigrError INVALID_ARGUMENT naming `image`, and the limit.
 */
export async function imageOf(
  image: ImageInput | undefined,
  input: readonly [number, number, number],
): Promise<Float32Array> {
  switch (image?.source?.$case) {
    case 'encoded':
      return decodeImage(image.source.value, input);
    case 'tensor':
      return tensorOf(image.source.value, input);
    case 'sample':
      throw invalid('a sample of a dataset is replaced by its tensor before it gets here: ask the gateway');
    default:
      throw invalid('is missing: give an encoded image or a tensor');
  }
}

function tensorOf({ shape, data }: FloatTensor, input: readonly [number, number, number]): Float32Array {
  if (shape.join() !== input.join()) throw invalid(`the tensor is [${shape}]; the model takes [${input.join(', ')}]`);
  const size = input[0] * input[1] * input[2];
  if (data.length !== size * 4)
    throw invalid(`${data.length} bytes given; float32 [${input.join(', ')}] has ${size * 4}`);
  // A copy: the bytes lie anywhere in the message, float32 must be aligned.
  const values = new Float32Array(Uint8Array.from(data).buffer);
  const bad = values.findIndex((value) => !(value >= 0 && value <= 1));
  if (bad >= 0) throw invalid(`value ${bad} is ${values[bad]}; all are in [0,1]`);
  return values;
}
