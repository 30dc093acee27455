import { crc32, inflateSync } from 'node:zlib';
import { float32 } from '@jsigr/engine';
import { expect, test } from 'vitest';
import { diverging } from './colours.ts';
import { enlarge, renderMap, renderOverlay } from './overlay.ts';
import { encodePng, type Pixels } from './png.ts';

const PIXELS: Pixels = {
  width: 2,
  height: 2,
  channels: 3,
  data: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7),
};

test('a PNG file has the signature, header and end that the standard prescribes', () => {
  const bytes = Buffer.from(encodePng(PIXELS));
  // 2 x 2, 8 bits, colour type 2 (RGB); check sums computed with Python's zlib.
  expect(bytes.subarray(0, 33).toString('hex')).toBe(
    '89504e470d0a1a0a' + '0000000d49484452' + '0000000200000002' + '0802000000' + 'fdd49a73',
  );
  expect(bytes.subarray(-12).toString('hex')).toBe('0000000049454e44ae426082');
});

test('its pixels come back', () => {
  const bytes = Buffer.from(encodePng(PIXELS));
  const length = bytes.readUInt32BE(33);
  const chunk = bytes.subarray(37, 41 + length);
  expect(chunk.subarray(0, 4).toString()).toBe('IDAT');
  expect(bytes.readUInt32BE(41 + length)).toBe(crc32(chunk));
  const rows = [...inflateSync(chunk.subarray(4))];
  expect(rows).toEqual([0, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 9, 8, 7]); // each row begins with filter 0
  expect(encodePng(PIXELS)).toEqual(encodePng(PIXELS));
});

test('what does not fill the sides, or has none, is refused', () => {
  expect(() => encodePng({ ...PIXELS, height: 3 })).toThrow('data: 12 bytes do not fill 2x3x3');
  expect(() => encodePng({ ...PIXELS, width: 0 })).toThrow('width: 0 is not an integer in 1..16384');
});

test('enlarging repeats pixels', () => {
  const large = enlarge({ width: 2, height: 1, channels: 1, data: Uint8Array.of(1, 2) }, 2);
  expect(large).toEqual({ width: 4, height: 2, channels: 1, data: Uint8Array.of(1, 1, 2, 2, 1, 1, 2, 2) });
  expect(() => enlarge(PIXELS, 0.5)).toThrow('factor: 0.5 is not an integer in 1..64');
});

test('the colour map is red for, blue against, white in the middle, and its ends are kept', () => {
  expect(diverging(0)).toEqual([247, 247, 247]);
  expect(diverging(5)).toEqual([103, 0, 31]);
  expect(diverging(-1)).toEqual([5, 48, 97]);
});

test('an overlay is the grey image where the map is zero, and its colour where it is strong', () => {
  const image = float32([0, 1, 0, 0], [2, 2, 1]);
  const map = float32([0, 0, 2, -2], [2, 2, 1]);
  const { data } = renderOverlay(image, map, { opacity: 1 });
  expect([...data]).toEqual([89, 89, 89, 255, 255, 255, 103, 0, 31, 5, 48, 97]);
  expect([...renderMap(map).data.subarray(0, 3)]).toEqual([247, 247, 247]);
});

test('an overlay of shapes that do not fit is refused', () => {
  const image = float32([0, 1, 0, 0], [2, 2, 1]);
  expect(() => renderOverlay(image, float32([1, 2], [2, 1, 1]))).toThrow(
    'map: [2,1,1] given, one map [2, 2, 1] needed',
  );
  expect(() => renderOverlay(float32([0, 1], [1, 1, 2]), image)).toThrow('image: [1,1,2] given');
});
