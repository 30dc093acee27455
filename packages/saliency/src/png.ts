import { crc32, deflateSync } from 'node:zlib';
import { SaliencyError } from './errors.ts';

/** Rows of pixels from the top, 8 bits a channel. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 RGB, 4 RGBA. */
  readonly channels: 1 | 3 | 4;
  /** width * height * channels bytes. */
  readonly data: Uint8Array;
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const COLOUR_TYPE = { 1: 0, 3: 2, 4: 6 } as const;
const LARGEST_SIDE = 16_384;

/**
 * A PNG file (ISO/IEC 15948): no filter, one block of data, no metadata; the same pixels give the same bytes on the same Node.
 * @throws SaliencyError INVALID_IMAGE if the sides are not 1..16384 or the bytes do not fill them.
 */
export function encodePng({ width, height, channels, data }: Pixels): Uint8Array {
  for (const [field, side] of Object.entries({ width, height }))
    if (!Number.isInteger(side) || side < 1 || side > LARGEST_SIDE)
      throw new SaliencyError('INVALID_IMAGE', field, `${side} is not an integer in 1..${LARGEST_SIDE}`);
  if (data.length !== width * height * channels)
    throw new SaliencyError('INVALID_IMAGE', 'data', `${data.length} bytes do not fill ${width}x${height}x${channels}`);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPE[channels]], 8); // bit depth; compression, filter and interlace methods are 0
  const stride = width * channels;
  const rows = new Uint8Array(height * (stride + 1)); // each row begins with its filter: 0, none
  for (let row = 0; row < height; row++)
    rows.set(data.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
  return concatenate([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', new Uint8Array()),
  ]);
}

/** Length, type, data, and the check sum of type and data. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
