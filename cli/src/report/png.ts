import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * Pixels as a PNG file, 8 bits a channel, without filters (PNG specification, sections 5 and 9).
 * @param pixels `[height, width, channels]`, channels 1 (grey) or 3 (RGB)
 */
export function encodePng(pixels: Uint8Array, height: number, width: number, channels: number): Buffer {
  if ((channels !== 1 && channels !== 3) || pixels.length !== height * width * channels)
    throw new RangeError(`${pixels.length} pixel values are no ${height} x ${width} picture of ${channels} channels`);
  const stride = width * channels;
  const rows = Buffer.alloc((stride + 1) * height); // each row begins with its filter: 0, none
  for (let row = 0; row < height; row++)
    rows.set(pixels.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = channels === 1 ? 0 : 2;
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8 + body.length);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc32(body), 4 + body.length);
  return frame;
}
