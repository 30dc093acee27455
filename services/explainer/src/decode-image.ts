import { invalidArgument, type JsigrError } from '@jsigr/service';
import sharp from 'sharp';

export const MAX_IMAGE_BYTES = 8 * 1024 * 1024;
export const MAX_PIXELS = 16_000_000;

const SIGNATURES = { png: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], jpeg: [0xff, 0xd8, 0xff] };

/**
 * A PNG or JPEG as float32 `[height, width, channels]` in [0,1]: turned upright, on white where it is transparent, scaled to the model's size (both sides
 * alike or not), grey for models with one channel. Size and format are read from the header, before anything is decoded.
 * @throws JsigrError INVALID_ARGUMENT naming `image`
 */
export async function decodeImage(
  bytes: Uint8Array,
  [height, width, channels]: readonly [number, number, number],
): Promise<Float32Array> {
  if (bytes.length > MAX_IMAGE_BYTES) throw invalid(`${bytes.length} bytes given, at most ${MAX_IMAGE_BYTES} allowed`);
  if (!Object.values(SIGNATURES).some((signature) => signature.every((byte, i) => bytes[i] === byte)))
    throw invalid(`the ${bytes.length} bytes are neither a PNG nor a JPEG file`);
  if (channels !== 1 && channels !== 3)
    throw invalid(`the model takes ${channels} channels: give it a tensor, not a PNG or JPEG file`);
  const size = await attempt(sharp(bytes, { limitInputPixels: false }).metadata());
  if (size.width * size.height > MAX_PIXELS)
    throw invalid(`${size.width} x ${size.height} pixels given, at most ${MAX_PIXELS} allowed`);
  const upright = sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: 'error', autoOrient: true });
  const scaled =
    size.width === width && size.height === height ? upright : upright.resize(width, height, { fit: 'fill' });
  const pixels = await attempt(
    scaled
      .flatten({ background: '#ffffff' })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true }),
  );
  if (pixels.info.channels !== channels)
    throw invalid(`the file has ${pixels.info.channels} channels, the model takes ${channels}`);
  return Float32Array.from(pixels.data, (value) => value / 255);
}

async function attempt<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw invalid(`the file cannot be read: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
  });
}

/** INVALID_ARGUMENT naming `image`. */
export function invalid(description: string): JsigrError {
  return invalidArgument('image', description);
}
