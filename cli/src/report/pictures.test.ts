import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { imagePicture, mapPicture, outlinePath, type Picture } from './pictures.ts';

// A picture of one row: its pixels, without the row's filter byte.
function pixels({ png }: Picture): number[] {
  const file = Buffer.from(png);
  return [...inflateSync(file.subarray(41, 41 + file.readUInt32BE(33)))].slice(1);
}

describe('pictures', () => {
  it('of images are clipped to [0,1]', () =>
    expect(pixels(imagePicture(Float32Array.of(-1, 0.5, 2), [1, 3, 1]))).toEqual([0, 128, 255]));

  it('keep three channels', () =>
    expect(pixels(imagePicture(Float32Array.of(0, 0.2, 1), [1, 1, 3]))).toEqual([0, 51, 255]));

  it('of maps are white at zero, red for and blue against', () =>
    expect(pixels(mapPicture(Float32Array.of(1, 0, -1), [1, 3]))).toEqual([178, 24, 43, 255, 255, 255, 33, 102, 172]));

  it('of maps without any attribution are white', () =>
    expect(pixels(mapPicture(new Float32Array(2), [1, 2]))).toEqual([255, 255, 255, 255, 255, 255]));
});

describe('outlines', () => {
  it('of one pixel are its four sides', () =>
    expect(
      outlinePath(Uint8Array.of(0, 0, 0, 1), 2, 2)
        .match(/M\d \d[hv]1/g)
        ?.sort(),
    ).toEqual(['M1 1h1', 'M1 1v1', 'M1 2h1', 'M2 1v1']));

  it('leave out what lies between two pixels inside', () =>
    expect(outlinePath(Uint8Array.of(1, 1), 1, 2)).not.toContain('M1 0v1'));

  it('of an empty mask are empty', () => expect(outlinePath(new Uint8Array(4), 2, 2)).toBe(''));
});
